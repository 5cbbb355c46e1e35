"""A process of the simulated legacy, shared by the tests of this package."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest
import requests

from local.legacy.settings import LegacySettings
from tests.support.simulated_legacy import LegacyProcess


@pytest.fixture(scope="package")
def process() -> Iterator[LegacyProcess]:
    process = LegacyProcess()
    yield process
    process.kill()


@pytest.fixture
def legacy(process: LegacyProcess) -> LegacyProcess:
    """The process without records or faults, and with work that takes no time."""
    process.set(**asdict(LegacySettings(latency_ms=0))).raise_for_status()
    requests.post(f"{process.url}/reset", timeout=10).raise_for_status()
    return process
