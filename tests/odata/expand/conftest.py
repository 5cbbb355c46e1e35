"""Fixtures: a record with related entities, and a function that expands them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet, Record


@pytest.fixture
def record(data: DataSet) -> Record:
    """A record with four logs."""
    return next(each for each in data.records if len(each.logs) == 4)


@pytest.fixture
def get_expanded(client: Client, record: Record) -> Callable[..., Any]:
    """GET the id of the record and the expanded entities, as JSON."""

    def get(expand: str, *query: tuple[str, str], **headers: str) -> Any:
        options = [("$select", "id"), ("$expand", expand), *query]
        return client.json(f"PointRecords({record.id})", *options, **headers)

    return get
