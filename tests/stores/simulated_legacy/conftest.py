"""A simulated legacy in a process of its own."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest
import requests

from local.legacy.settings import LegacySettings
from tests.support.simulated_legacy import Client


@pytest.fixture(scope="package")
def process() -> Iterator[Client]:
    client = Client()
    yield client
    client.kill()


@pytest.fixture
def legacy(process: Client) -> Client:
    """The process with no records and no faults, and work that takes no time."""
    process.set(**asdict(LegacySettings(latency_ms=0))).raise_for_status()
    requests.post(f"{process.url}/reset", timeout=10).raise_for_status()
    return process
