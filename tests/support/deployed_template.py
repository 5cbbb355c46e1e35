"""Constants of the deployment: the names of the functions, and the configuration of prod."""

import json
from typing import Any

import app
from local.child_process import PROJECT

CHALICE = PROJECT / ".chalice"
CONFIG: dict[str, Any] = json.loads((CHALICE / "config.json").read_text(encoding="utf-8"))
PROD: dict[str, Any] = CONFIG["stages"]["prod"]

# Chalice's name for the function that serves the routes.
ROUTES = "api_handler"
SCHEDULES = {source.name for source in app.app.event_sources}
OPERATORS = {each.name for each in app.app.pure_lambda_functions} - {"intake"}
FUNCTIONS = sorted(
    {ROUTES} | SCHEDULES | {each.name for each in app.app.pure_lambda_functions},
)


def deployed_name(function: str) -> str:
    """Return the name of a function in the AWS account."""
    return "punch-clock-prod" + ("" if function == ROUTES else f"-{function}")


def statements(function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's policy."""
    file = PROD["lambda_functions"][function]["iam_policy_file"]
    policy: dict[str, list[dict[str, Any]]] = json.loads((CHALICE / file).read_text())
    return policy["Statement"]
