"""Fixtures: the service in this process, with the profile of a recipe and the recipe's server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.legacies.recipes import Recipe
from tests.pipeline.conftest import service
from tests.support.service import environment

__all__ = ["service"]


@pytest.fixture
def recipe(request: pytest.FixtureRequest, tmp_path: Path, engines: Path) -> Iterator[Recipe]:
    """The recipe of the test's parameter, its name and options of its server, running."""
    name, *options = request.param.split(maxsplit=2)
    with Recipe.running(name, tmp_path, *options) as running:
        yield running


@pytest.fixture
def variables(dynamodb_url: str, table: str, database_url: str, recipe: Recipe) -> dict[str, str]:
    """The environment of the service: retries within tenths of a second, and parked early."""
    return {
        **environment(dynamodb=dynamodb_url, table=table, postgres=database_url, legacy=""),
        **recipe.settings,
        "RETRY_BASE_S": "0.1",
        "OVERLOAD_RETRY_MAX_S": "0.3",
        "MAX_ATTEMPTS": "3",
    }
