"""How programs find a running stack: by ``stack.json``, and what the app needs to know of it.

boto3 finds its DynamoDB endpoint by ``aws.config``, so that ``chalice local`` does.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from local.dynamodb import server

TABLE = "point_record"
# The directory of the stack that is meant where none is named.
DATA = Path(".local")

# Where the simulated legacy takes point records.
_POINT_RECORDS = "/point-records"
# What a running stack is found by, in its directory; ``.chalice/config.json`` names them too.
_STACK = "stack.json"
_AWS_CONFIG = "aws.config"
_PROFILE = "stack"


class NotRunningError(Exception):
    """No stack runs on that directory. The message is for people."""


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``, which says what stack a command is for."""
    parser.add_argument("--data", type=Path, default=DATA, help=f"the stack's directory ({DATA})")


def write_stack(home: Path, stack: Mapping[str, Any]) -> None:
    """Write ``stack.json`` and ``aws.config``, for their owner only: one has a password.

    Args:
        home: the stack's directory.
        stack: the URLs of ``api``, ``postgres``, ``dynamodb`` and ``legacy``; ``pids`` of the
            stack's own processes (a store or legacy of somebody else's has none); ``log``, where
            the app's is; ``jwt_key``, the file of the key that tokens are signed with.
    """
    _write(home / _AWS_CONFIG, _aws_config(stack))
    _write(home / _STACK, json.dumps(stack, indent=2) + "\n")


def forget_stack(home: Path) -> None:
    """Take back what ``write_stack`` wrote: no stack runs there any more."""
    for name in (_STACK, _AWS_CONFIG):
        (home / name).unlink(missing_ok=True)


def read_stack(home: Path) -> dict[str, Any]:
    """Read what ``write_stack`` wrote.

    Raises:
        NotRunningError: there is none.
    """
    try:
        stack: dict[str, Any] = json.loads((home / _STACK).read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"No stack runs on {home}: it has no stack.json. Start one with: make run"
        raise NotRunningError(message) from error
    return stack


def connect_dynamodb(stack: Mapping[str, Any]) -> Any:
    """Return a boto3 client of a stack's DynamoDB endpoint, with the credentials it takes."""
    if "dynamodb" in stack["pids"]:
        return server.connect(stack["dynamodb"])
    return boto3.client("dynamodb", endpoint_url=stack["dynamodb"], region_name=_region())


def environment(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables by which the app uses the stores and the legacy of a stack."""
    is_simulated = "legacy" in stack["pids"]
    return {
        "POINT_RECORD_TABLE": TABLE,
        "DATABASE_URL": stack["postgres"],
        "ACCEPTED_LOG": f"file:{stack['log']}",
        "JWT_KEY": f"file:{stack['jwt_key']}",
        "LEGACY_URL": stack["legacy"] + (_POINT_RECORDS if is_simulated else ""),
        "AWS_ENDPOINT_URL_DYNAMODB": stack["dynamodb"],
        **_credentials(stack),
    }


def attach(home: Path) -> None:
    """Let the app, which is imported only then, use a stack's stores and legacy in this process.

    Raises:
        NotRunningError: there is none.
    """
    os.environ.update(environment(read_stack(home)))


def _aws_config(stack: Mapping[str, Any]) -> str:
    """Write the profile by which boto3 finds a stack's DynamoDB endpoint by itself.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    return f"""\
[profile {_PROFILE}]
region = {_credentials(stack)["AWS_DEFAULT_REGION"]}
services = {_PROFILE}
[services {_PROFILE}]
dynamodb =
  endpoint_url = {stack["dynamodb"]}
"""


def _credentials(stack: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the variables by which a stack's DynamoDB endpoint lets boto3 in.

    One that is not ours is reached with the credentials of the surroundings.
    """
    return server.CREDENTIALS if "dynamodb" in stack["pids"] else {"AWS_DEFAULT_REGION": _region()}


def _write(path: Path, text: str) -> None:
    """Write a file in one step, for its owner only."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(text)
    new.rename(path)


def _region() -> str:
    """Return the region of the surroundings; an endpoint of one's own needs any."""
    region: str | None = boto3.Session().region_name
    return region or server.CREDENTIALS["AWS_DEFAULT_REGION"]
