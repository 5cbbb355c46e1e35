"""One record, and what it is related to."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet, Record


@pytest.fixture
def record(data: DataSet) -> Record:
    return next(each for each in data.records if len(each.logs) == 4)


@pytest.fixture
def ask(client: Client, record: Record) -> Callable[..., Any]:
    """Expand what the record is related to, with its id alone beside it."""

    def get(expand: str, *query: tuple[str, str], **headers: str) -> Any:
        options = [("$select", "id"), ("$expand", expand), *query]
        return client.json(f"PointRecords({record.id})", *options, **headers)

    return get
