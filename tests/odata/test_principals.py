"""The query builder restricts a principal to its own records, without row-level security."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from pg8000.native import Connection

from chalicelib.errors import NotFoundError
from chalicelib.odata.plain_record import record_json
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet


class OwnerReader(ReadSession):
    """Reads as the owner of the tables, to whom no row-level security policy applies."""

    def _transaction(
        self, principal: Principal, timeout_s: float
    ) -> AbstractContextManager[Connection]:
        del principal
        return self._database.transaction(read_only=True, statement_timeout_s=timeout_s)


# The principals that may read a record.
OWNERS: dict[str, Callable[..., Principal]] = {
    "employer": lambda record: Principal(Role.EMPLOYER, record.employerId),
    "employee": lambda record: Principal(Role.EMPLOYEE, record.employerId, record.employeeId),
}


@pytest.mark.parametrize("role", OWNERS)
def test_every_kind_of_read_is_limited_to_the_principals_records(
    role: str, filled: Database, data: DataSet
) -> None:
    principals = {OWNERS[role](each): each for each in data.records}
    assert len(principals) > 1
    for principal in principals:
        client = Client(ODataService(OwnerReader(filled, 10), Settings()), principal)
        own = {
            str(each.id)
            for each in data.records
            if each.employerId == principal.employer_id
            and principal.employee_id in (None, each.employeeId)
        }
        for condition in ("true", "employerId gt 0 or true", "not (id eq null)"):
            assert set(client.ids("PointRecords", condition)) == own
        for query in ([], [("$filter", "true or employerId eq 1")]):
            assert client.get("PointRecords/$count", *query).body == str(len(own))
        grouped = client.json("PointRecords", ("$apply", "aggregate($count as n)"))
        assert grouped["value"][0]["n"] == len(own)
        logs = client.json("IntegrationLogs", ("$expand", "point($expand=logs)"), ("$top", "1000"))
        assert {each["pointId"] for each in logs["value"]} <= own
        assert all(each["point"]["id"] in own for each in logs["value"])
        assert not client.json("IntegrationLogs", ("$filter", "point eq null"))["value"]
        assert client.get("IntegrationRuns/$count").body == "0"
        foreign = next(str(each.id) for each in data.records if str(each.id) not in own)
        for path in (f"PointRecords({foreign})", f"PointRecords({foreign})/logs"):
            with pytest.raises(NotFoundError):
                client.get(path)
        assert record_json(OwnerReader(filled, 10), foreign, principal) is None
        mine = record_json(OwnerReader(filled, 10), min(own), principal)
        assert json.loads(mine or "{}")["id"] == min(own)
