"""Frequent queries use an index, on the first page and on later ones."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.punches import random_id
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.postgres import Postgres
from tests.conftest import connect, create_database
from tests.support.odata.client import Client
from tests.support.tokens import INTEGRATION


class ExplainingReader(ReadSession):
    """A reader that keeps the plan of its last statement."""

    plan = ""

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        with self._transaction(parameters.principal, 10) as connection:
            lines = connection.execute_unnamed(f"EXPLAIN {sql}", parameters).rows
        self.plan = of_filled("\n".join(line for (line,) in lines))
        return super().row(sql, parameters, until)


@pytest.fixture(scope="module")
def reader(postgres_server: Postgres) -> Iterator[ExplainingReader]:
    """A reader of a database with enough records for the planner to prefer indexes."""
    database = connect(create_database(postgres_server, "odata_plans"))
    keep_partitions(database, datetime(2025, 12, 25, tzinfo=UTC), 62)
    _fill(database)
    yield ExplainingReader(database, 10)
    database.close()


def _fill(database: Database) -> None:
    with database.transaction() as connection:
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at, next_attempt_at)"
            f" SELECT {random_id('at')}, 1 + n % 500, 1 + n % 20, at, 0, now(), now()"
            " FROM (SELECT n, timestamptz '2025-12-25Z' + n * interval '1 minute' AS at"
            " FROM generate_series(1, 20000) AS n) AS punch"
        )
        connection.run(
            "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt,"
            " status, log)"
            " SELECT id, employer_id, employee_id, 1, 0, 'AWAITING',"
            " CASE WHEN employee_id = 7 THEN 'Straße, ΣΊΣΥΦΟΣ, café' END FROM point_record"
        )
        connection.run(
            "INSERT INTO integration_run (run_id, max_open_requests, open_requests, delivered,"
            " failed, rejected, policy)"
            " SELECT gen_random_uuid(), 6, 5, 4, 3, 2, 'adaptive' FROM generate_series(1, 5000)"
        )
        # A tenant with few records among many, none of them the latest.
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at, next_attempt_at)"
            f" SELECT {random_id('at')}, 9001 + n % 5, 777, at, 0, now(), now()"
            " FROM (SELECT n, timestamptz '2025-12-26Z' + n * interval '1 hour' AS at"
            " FROM generate_series(1, 20) AS n) AS punch"
        )
        connection.run(
            "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt,"
            " status) SELECT id, employer_id, employee_id, 1, 0, 'AWAITING'"
            " FROM point_record WHERE employer_id = 777"
        )
        connection.run("ANALYZE point_record, integration_log, integration_run")


# A partition without rows has no pages, and is scanned and sorted at no cost.
_OF_EMPTY = (
    r"Seq Scan on \w+_(?:default|(?!2025_12|2026_01)\d{4}_\d\d)\b[^\n]*(?:\n *Filter: [^\n]*)?"
)
_SORT_OF_EMPTY = rf"\n *->  Sort [^\n]*\n *Sort Key: [^\n]*\n *->  {_OF_EMPTY}"


def of_filled(plan: str) -> str:
    """Return a plan without the scans of empty partitions."""
    return re.sub(rf"\n *->  {_OF_EMPTY}", "", re.sub(_SORT_OF_EMPTY, "", plan))


def has_sort(plan: str) -> bool:
    """Return whether the page is sorted. The few logs of each record may be."""
    page = plan.partition("SubPlan")[0]
    return bool(re.search("->  (?:Incremental )?Sort  ", page))


PERIOD = "includedAt ge 2025-12-27T00:00:00Z and includedAt lt 2026-01-06T00:00:00Z"
RECENT = "includedAt ge now() sub duration'P7D'"
PER_DAY = "compute(date(includedAt) as day)/groupby((employerId,day,status),aggregate($count as n))"
PAGES: list[tuple[str, list[tuple[str, str]]]] = [
    ("PointRecords", []),
    ("PointRecords", [("$orderby", "id desc")]),
    ("PointRecords", [("$orderby", "includedAt")]),
    ("PointRecords", [("$orderby", "includedAt desc")]),
    ("PointRecords", [("$filter", PERIOD), ("$orderby", "includedAt")]),
    ("PointRecords", [("$filter", "employerId eq 5")]),
    ("PointRecords", [("$filter", "employeeId eq 5")]),
    ("PointRecords", [("$filter", "employerId eq 5 and date(includedAt) eq 2026-01-03")]),
    ("PointRecords", [("$filter", "date(includedAt) eq 2026-01-03"), ("$orderby", "includedAt")]),
    ("PointRecords", [("$filter", f"employerId eq 5 and {PERIOD}"), ("$orderby", "includedAt")]),
    (
        "PointRecords",
        [("$filter", f"employerId eq 5 and {PERIOD}"), ("$orderby", "includedAt desc")],
    ),
    ("PointRecords", [("$filter", f"employeeId eq 5 and {PERIOD}"), ("$orderby", "includedAt")]),
    ("PointRecords", [("$filter", f"{PERIOD} and employeeId eq 5")]),
    ("PointRecords", [("$filter", f"employeeId eq 5 and {PERIOD} and status ne 'INTEGRATED'")]),
    (
        "PointRecords",
        [("$filter", "employerId eq 5 and latitude eq null and not (status eq 'ERROR')")],
    ),
    (
        "PointRecords",
        [("$filter", f"employerId eq 5 and {PERIOD} and logs/any(l:l/attempt eq 0)")],
    ),
    ("PointRecords", [("$filter", "employerId eq 5"), ("$expand", "logs"), ("$top", "15")]),
    ("PointRecords", [("$apply", "groupby((employerId,includedAt))")]),
    ("IntegrationLogs", []),
    ("IntegrationLogs", [("$orderby", "pointId desc")]),
    ("IntegrationRuns", []),
    ("IntegrationRuns", [("$orderby", "at desc")]),
]


@pytest.mark.parametrize(("entity_set", "query"), PAGES, ids=str)
def test_page_is_read_from_an_index_without_sorting(
    entity_set: str, query: list[tuple[str, str]], reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()))
    answer = client.json(entity_set, *query, prefer="maxpagesize=5")
    plans = [reader.plan]
    for _ in range(3):
        if link := answer.get("@odata.nextLink"):
            answer = client.follow(link)
            plans.append(reader.plan)
    assert len(plans) > 2
    for plan in plans:
        assert "Seq Scan" not in plan, plan
        assert not has_sort(plan), plan
        assert "Index" in plan, plan


COUNTS: list[tuple[str, list[tuple[str, str]]]] = [
    ("PointRecords", [("$filter", f"employerId eq 5 and {PERIOD}")]),
    ("PointRecords", [("$filter", "employeeId eq 5")]),
    ("PointRecords", [("$filter", "date(includedAt) eq 2026-01-03")]),
    ("IntegrationLogs", [("$filter", "point/employeeId eq 5")]),
    ("PointRecords", [("$apply", f"filter(employerId eq 5)/{PER_DAY}")]),
    ("PointRecords", [("$apply", f"filter(attempts eq 0)/filter(employerId eq 5)/{PER_DAY}")]),
    ("PointRecords", [("$apply", "filter(employerId eq 5)/filter(10 div (attempts add 1) gt 2)")]),
    # What can fail here fails on each row or on none.
    ("IntegrationLogs", [("$filter", f"point/employeeId eq 5 and point/{RECENT}")]),
    ("PointRecords", [("$apply", f"filter(attempts eq 0)/filter({RECENT})")]),
    ("PointRecords", [("$apply", "filter(attempts eq 0)/filter(employeeId in (5,6))")]),
]


@pytest.mark.parametrize(("entity_set", "query"), COUNTS, ids=str)
def test_count_uses_an_index(
    entity_set: str, query: list[tuple[str, str]], reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()))
    client.get(f"{entity_set}/$count", *query)
    assert "Seq Scan" not in reader.plan, reader.plan
    client.json(entity_set, *query, ("$count", "true"), ("$top", "5"))
    assert "Seq Scan" not in reader.plan, reader.plan


def test_groups_per_employer_and_day_are_read_page_by_page(reader: ExplainingReader) -> None:
    client = Client(ODataService(reader, Settings()))
    answer = client.json("PointRecords", ("$apply", PER_DAY), prefer="maxpagesize=5")
    for _ in range(3):
        assert "_employer_id_" in reader.plan, reader.plan
        assert "Limit" in reader.plan.split("GroupAggregate")[0], reader.plan
        answer = client.follow(answer["@odata.nextLink"])


EMPLOYER = Principal(Role.EMPLOYER, 5)
EMPLOYEE = Principal(Role.EMPLOYEE, 5, 5)


@pytest.mark.parametrize("principal", [EMPLOYER, EMPLOYEE], ids=str)
@pytest.mark.parametrize(
    "query",
    [
        [],
        [("$filter", PERIOD)],
        [("$filter", f"{PERIOD} and status ne 'INTEGRATED'"), ("$orderby", "includedAt desc")],
        [("$filter", "contains(deviceId,'x') or latitude eq null")],
        [("$filter", f"{PERIOD} and logs/any(l:l/attempt eq 0)"), ("$expand", "logs")],
    ],
    ids=str,
)
def test_principals_page_is_read_from_an_index(
    query: list[tuple[str, str]], principal: Principal, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()), principal)
    answer = client.json("PointRecords", *query, prefer="maxpagesize=5")
    plans = [reader.plan]
    client.follow(answer["@odata.nextLink"])
    plans.append(reader.plan)
    for plan in plans:
        assert "Seq Scan" not in plan, plan
        # An employee has so few records that sorting them is fine.
        assert principal is EMPLOYEE or not has_sort(plan), plan
        assert "Index" in plan, plan


@pytest.mark.parametrize("principal", [EMPLOYER, EMPLOYEE], ids=str)
def test_principals_entity_logs_and_count_use_an_index(
    principal: Principal, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()), principal)
    key = client.json("PointRecords", ("$top", "1"))["value"][0]["id"]
    for path in (
        f"PointRecords({key})",
        f"PointRecords({key})/logs",
        f"PointRecords({key})/logs(1)/point/logs(1)/point",
        "PointRecords/$count",
    ):
        client.get(path)
        assert "Seq Scan" not in reader.plan, f"{path}\n{reader.plan}"
    client.get("IntegrationLogs/$count")
    assert "Seq Scan on point_record" not in reader.plan, reader.plan


def test_entity_and_its_navigations_use_an_index(reader: ExplainingReader) -> None:
    client = Client(ODataService(reader, Settings()))
    key = client.json("PointRecords", ("$top", "1"))["value"][0]["id"]
    log = f"pointId={key},number=1"
    run = client.json("IntegrationRuns", ("$top", "1"))["value"][0]["id"]
    for path in (
        f"PointRecords({key})",
        f"PointRecords({key})/status",
        f"PointRecords({key})/status/$value",
        f"PointRecords({key})/logs",
        f"PointRecords({key})/logs/$count",
        f"IntegrationLogs({log})",
        f"IntegrationLogs({log})/point",
        f"IntegrationLogs({log})/point/status",
        f"IntegrationLogs({log})/point/logs",
        f"PointRecords({key})/logs(1)/point/logs(1)/point",
        f"PointRecords({key})/logs(1)/point/logs(1)/point/logs(1)/point/logs(1)/point/logs",
        f"IntegrationLogs({log})/point/logs(1)/point",
        f"IntegrationLogs({log})/point/logs(1)/point/logs/$count",
        f"IntegrationLogs({log})/point/logs(1)/point/logs(pointId={key},number=1)/point/status",
        f"IntegrationRuns({run})",
    ):
        client.get(path)
        assert "Seq Scan" not in reader.plan, f"{path}\n{reader.plan}"


def test_filter_of_logs_by_their_record_uses_its_index(reader: ExplainingReader) -> None:
    client = Client(ODataService(reader, Settings()))
    answer = client.json("IntegrationLogs", ("$filter", "point/employeeId eq 5"))
    assert len(answer["value"]) == 40
    assert "_employee_id_included_at_id_idx" in reader.plan, reader.plan


def test_filter_of_logs_by_point_id_uses_an_index(reader: ExplainingReader) -> None:
    client = Client(ODataService(reader, Settings()))
    key = client.json("PointRecords", ("$top", "1"))["value"][0]["id"]
    assert client.json("IntegrationLogs", ("$filter", f"pointId eq {key}"))["value"]
    assert "integration_log_2025_12_pkey" in reader.plan, reader.plan


@pytest.mark.parametrize("text", ["strasse", "CAFÉ", '"asse, σίσ"', "nowhere OR Straße"])
def test_search_uses_the_text_index(text: str, reader: ExplainingReader) -> None:
    client = Client(ODataService(reader, Settings()))
    for entity_set in ("IntegrationLogs", "PointRecords"):
        assert client.get(f"{entity_set}/$count", ("$search", text)).body == "40"
        assert "_casefold_idx" in reader.plan, reader.plan
        assert "Seq Scan" not in reader.plan, reader.plan


JANUARY = "includedAt ge 2026-01-01T00:00:00Z and includedAt lt 2026-02-01T00:00:00Z"


def months_of(plan: str) -> set[str]:
    """Return the months whose partitions a plan reads."""
    return set(re.findall(r" on (?:point_record|integration_log)_(\d{4}_\d\d|default)\b", plan))


@pytest.mark.parametrize("principal", [INTEGRATION, Principal(Role.EMPLOYER, 5)], ids=str)
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("PointRecords", [("$filter", JANUARY)]),
        ("PointRecords/$count", [("$filter", f"employerId eq 5 and {JANUARY}")]),
        ("PointRecords", [("$filter", "localDate ge 2026-01-02 and localDate lt 2026-01-30")]),
        ("PointRecords/$count", [("$filter", "localDate eq 2026-01-05")]),
        ("PointRecords", [("$filter", "date(includedAt) eq 2026-01-31"), ("$count", "true")]),
        ("PointRecords", [("$filter", "2026-01-05T00:00:00Z eq includedAt")]),
        ("PointRecords", [("$apply", f"filter({JANUARY})/aggregate($count as n)")]),
        ("PointRecords({key})", []),
        ("PointRecords({key})/logs", []),
        ("PointRecords({key})/logs(1)", []),
        ("IntegrationLogs(pointId={key},number=1)/point", []),
        ("IntegrationLogs(pointId={key},number=1)/point/logs(1)/point/logs", []),
        ("IntegrationLogs", [("$filter", "pointId eq {key}")]),
    ],
    ids=str,
)
def test_query_of_one_month_reads_only_its_partitions(
    path: str, query: list[tuple[str, str]], principal: Principal, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()), principal)
    own = "employerId eq 5 and includedAt ge 2026-01-02T00:00:00Z"
    key = client.json("PointRecords", ("$filter", own), ("$top", "1"))["value"][0]["id"]
    client.get(path.format(key=key), *((name, text.format(key=key)) for name, text in query))
    assert months_of(reader.plan) == {"2026_01"}, reader.plan


def test_query_of_logs_by_the_period_of_their_records_reads_only_its_partitions(
    reader: ExplainingReader,
) -> None:
    client = Client(ODataService(reader, Settings()))
    client.get("IntegrationLogs", ("$filter", f"point/{JANUARY.replace('and ', 'and point/')}"))
    assert months_of(reader.plan) == {"2026_01"}, reader.plan


PER_LOCAL_DAY = "groupby((employeeId,localDate),aggregate($count as punches))"


@pytest.mark.parametrize("principal", [INTEGRATION, Principal(Role.EMPLOYER, 5)], ids=str)
def test_punches_of_an_employer_and_local_day_are_read_from_an_index(
    principal: Principal, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()), principal)
    on_a_day = "employerId eq 5 and localDate eq 2026-01-05"
    apply = f"filter({on_a_day})/{PER_LOCAL_DAY}"
    groups = client.json("PointRecords", ("$apply", apply))["value"]
    assert "point_record_2026_01_employer_id_local_date_employee_id_idx" in reader.plan, reader.plan
    count = int(client.get("PointRecords/$count", ("$filter", on_a_day)).body)
    assert "point_record_2026_01_employer_id_local_date_employee_id_idx" in reader.plan, reader.plan
    assert sum(each["punches"] for each in groups) == count == 72


@pytest.mark.parametrize(
    "order", ["includedAt", "includedAt desc", "id", "id desc", "id desc,status desc"]
)
def test_next_pages_do_not_read_the_months_behind_them(
    order: str, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()))
    ahead = "2026_01" if "desc" not in order else "2025_12"
    bound = "ge 2026-01-05" if "desc" not in order else "lt 2025-12-28"
    query = [("$filter", f"date(includedAt) {bound}"), ("$orderby", order)]
    link = client.json("PointRecords", *query, prefer="maxpagesize=5")["@odata.nextLink"]
    client.follow(link)
    assert months_of(reader.plan) & {"2025_12", "2026_01"} == {ahead}, reader.plan


FEW = Principal(Role.EMPLOYER, 777)
OF_FEW = [
    (entity_set, [("$orderby", f"{key}{direction}")] if key else [])
    for entity_set, key in [
        ("PointRecords", ""), ("PointRecords", "id"), ("PointRecords", "includedAt"),
        ("IntegrationLogs", ""), ("IntegrationLogs", "pointId"),
    ]
    for direction in ("", " desc")
]  # fmt: skip


@pytest.mark.parametrize("principal", [FEW, Principal(Role.EMPLOYEE, 777, 9003)], ids=str)
@pytest.mark.parametrize(("entity_set", "query"), OF_FEW, ids=str)
def test_plan_of_a_tenant_starts_at_its_own_records(
    entity_set: str, query: list[tuple[str, str]], principal: Principal, reader: ExplainingReader
) -> None:
    """Otherwise its time grows with the records of others."""
    client = Client(ODataService(reader, Settings()), principal)
    for top in ("1", "100"):
        assert client.json(entity_set, ("$top", top), *query)["value"]
        plan = reader.plan
        scan = r"(?:using|Scan on) (\w+_(?:2025_12|2026_01)\w*_(?:idx|pkey))"
        scans = re.findall(scan, plan)
        conditions = dict(re.findall(rf"{scan} .*\n *Index Cond: \((.*)\)", plan))
        assert scans
        for index in scans:
            owned = "_employer_id_" in index or "_employee_id_" in index
            assert owned or "point_id = p.id" in conditions.get(index, ""), plan


EXPANSIONS = [
    ("PointRecords", "logs"),
    ("PointRecords", "logs($filter=attempt ge 0;$orderby=number desc;$top=3;$count=true)"),
    ("PointRecords", "logs/$count"),
    ("PointRecords", "logs/$ref"),
    ("PointRecords", "logs($filter=point/status eq $it/status;$expand=point($select=id))"),
    ("PointRecords", "logs($search=accepted)"),
    ("IntegrationLogs", "point"),
    ("IntegrationLogs", "point($expand=logs($filter=number ne $it/number))"),
]


@pytest.mark.parametrize(("entity_set", "expand"), EXPANSIONS, ids=str)
@pytest.mark.parametrize("principal", [INTEGRATION, Principal(Role.EMPLOYER, 5)], ids=str)
def test_expansion_is_a_subplan_that_uses_an_index(
    entity_set: str, expand: str, principal: Principal, reader: ExplainingReader
) -> None:
    client = Client(ODataService(reader, Settings()), principal)
    answer = client.json(entity_set, ("$expand", expand), prefer="maxpagesize=5")
    plan = reader.plan
    assert len(answer["value"]) == 5
    assert "SubPlan" in plan, plan
    inner = plan[plan.index("SubPlan") :]
    assert "Seq Scan" not in inner, plan
    assert "Index" in inner, plan
    if principal is INTEGRATION:
        assert "Seq Scan" not in plan, plan
