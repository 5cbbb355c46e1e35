"""Property: a random query returns the same JSON from the service as from a model in Python."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import event, given, settings

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.support.odata import reference
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet
from tests.support.odata.examples import EXAMPLES, thorough
from tests.support.odata.json_values import Number, readable
from tests.support.odata.query_model import Query, expected_page, fails, queries

# A query takes several times as long as a filter, and contains filters.
fewer = settings(thorough, max_examples=max(60, EXAMPLES // 8))
BARE = {"accept": "application/json;odata.metadata=none"}


@pytest.fixture(scope="session")
def client(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service with small pages in expansions."""
    return client_of(replace(Settings(), odata_expand_page=2))


def get_all(client: Client, path: str, query: list[tuple[str, str]]) -> Any:
    """GET JSON, keep the spelling of numbers, and follow every nextLink, also in expansions."""
    body = client.get(path, *query, **BARE).body
    return with_all_pages(client, json.loads(body, parse_float=Number, parse_int=Number))


def with_all_pages(client: Client, value: Any) -> Any:
    """Replace each nextLink in a JSON value by the pages behind it."""
    if isinstance(value, list):
        return [with_all_pages(client, each) for each in value]
    if not isinstance(value, dict):
        return value
    complete = {
        name: with_all_pages(client, each) for name, each in value.items() if "nextLink" not in name
    }
    for name, link in value.items():
        if "nextLink" in name:
            parts = urlsplit(link)
            path = parts.path.removeprefix(urlsplit(ROOT).path)
            rest = get_all(client, path, parse_qsl(parts.query, strict_parsing=True))
            complete[name.partition("@")[0] or "value"] += rest["value"]
    return complete


def require_same_result(client: Client, entity_set: str, query: Query, entities: list[Any]) -> None:
    options = list(query.options())
    if query.loses_offset:
        event("loses an offset")
        with pytest.raises(InvalidError):
            get_all(client, entity_set, options)
        return
    try:
        values, count = expected_page(query, entities, {})
    except (reference.EvaluationError, OverflowError):
        event("fails")
        return
    try:
        actual = get_all(client, entity_set, options)
    except InvalidError:
        if not fails(query, entities, {}):
            raise
        return
    expected = {"@odata.count": count} if query.count else {}
    event("expands" if query.expand else "expands nothing")
    assert readable(actual, {**expected, "value": values}) == {**expected, "value": values}, options


@fewer
@given(query=queries("Record"))
def test_random_query_of_records_returns_the_result_of_the_model(
    query: Query, client: Client, data: DataSet
) -> None:
    require_same_result(client, "PointRecords", query, data.records)


@fewer
@given(query=queries("Log"))
def test_random_query_of_logs_returns_the_result_of_the_model(
    query: Query, client: Client, data: DataSet
) -> None:
    require_same_result(client, "IntegrationLogs", query, data.logs)
