"""A whole query drawn at random answers through the service what it answers in Python."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import event, given, settings

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.odata.test_filter_property import EXAMPLES, thorough
from tests.support.odata import reference
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet
from tests.support.odata.json_values import Number, readable
from tests.support.odata.query_model import Query, expected_page, fails, queries

# A query takes several times what a filter does, and has filters in it.
fewer = settings(thorough, max_examples=max(60, EXAMPLES // 8))
BARE = {"accept": "application/json;odata.metadata=none"}


@pytest.fixture(scope="session")
def client(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service that soon cuts what it expands."""
    return client_of(replace(Settings(), odata_expand_page=2))


def ask(client: Client, path: str, query: list[tuple[str, str]]) -> Any:
    """GET JSON with numbers as they are written, and whatever was cut as if it were whole."""
    body = client.get(path, *query, **BARE).body
    return whole(client, json.loads(body, parse_float=Number, parse_int=Number))


def whole(client: Client, value: Any) -> Any:
    if isinstance(value, list):
        return [whole(client, each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: whole(client, each) for name, each in value.items() if "nextLink" not in name}
    for name, link in value.items():
        if "nextLink" in name:
            parts = urlsplit(link)
            path = parts.path.removeprefix(urlsplit(ROOT).path)
            following = ask(client, path, parse_qsl(parts.query, strict_parsing=True))
            found[name.partition("@")[0] or "value"] += following["value"]
    return found


def check(client: Client, entity_set: str, query: Query, entities: list[Any]) -> None:
    options = list(query.options())
    try:
        values, count = expected_page(query, entities, {})
    except (reference.EvaluationError, OverflowError):
        event("fails")
        return
    try:
        found = ask(client, entity_set, options)
    except InvalidError:
        if not fails(query, entities, {}):
            raise
        return
    expected = {"@odata.count": count} if query.count else {}
    event("expands" if query.expand else "expands nothing")
    assert readable(found, {**expected, "value": values}) == {**expected, "value": values}, options


@fewer
@given(query=queries("Record"))
def test_a_random_query_of_records_answers_what_it_does_in_python(
    query: Query, client: Client, data: DataSet
) -> None:
    check(client, "PointRecords", query, data.records)


@fewer
@given(query=queries("Log"))
def test_a_random_query_of_logs_answers_what_it_does_in_python(
    query: Query, client: Client, data: DataSet
) -> None:
    check(client, "IntegrationLogs", query, data.logs)
