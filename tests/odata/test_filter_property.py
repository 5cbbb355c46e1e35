"""A filter drawn at random selects the same entities in Python and through the service."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings

from chalicelib.errors import InvalidError
from tests.support.odata import reference
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet
from tests.support.odata.strategies.expressions import conditions
from tests.support.odata.strategies.term import Term

EXAMPLES = int(os.environ.get("ODATA_EXAMPLES", "300"))
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def selected(term: Term, entities: list[Any]) -> list[str] | None:
    """Return the keys of the entities that the term is true of, or None where it fails."""
    try:
        return sorted(str(each.id) for each in entities if term.value({"it": each}) is True)
    except (reference.Fault, OverflowError):
        return None


def check(client: Client, entity_set: str, term: Term, entities: list[Any]) -> None:
    expected = selected(term, entities)
    try:
        found = sorted(map(str, client.ids(entity_set, term.text)))
    except InvalidError:
        if expected is not None:
            raise
        return
    if expected is None:
        event("fails")  # perhaps only for entities that Postgres had no need to look at
        return
    event("selects some" if 0 < len(expected) < len(entities) else "selects all or none")
    assert found == expected, term.text


@thorough
@given(term=conditions("Record"))
def test_a_random_filter_of_records_means_what_it_means_in_python(
    term: Term, client: Client, data: DataSet
) -> None:
    check(client, "PointRecords", term, data.records)


@thorough
@given(term=conditions("Log"))
def test_a_random_filter_of_logs_means_what_it_means_in_python(
    term: Term, client: Client, data: DataSet
) -> None:
    check(client, "IntegrationLogs", term, data.logs)


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "ge", "lt", "le"])
def test_the_reference_has_the_nulls_of_the_standard(operator: str) -> None:
    both = reference.compare(operator, None, None)
    one = reference.compare(operator, None, 1)
    assert both == (operator in ("eq", "ge", "le"))
    assert one == (operator == "ne")
