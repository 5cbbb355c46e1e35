"""Describe a running stack in ``stack.json``, and connect other programs to it.

``aws.config``, next to it, holds a profile with the DynamoDB endpoint for boto3. ``chalice local``
uses both files (``.chalice/config.json``).
"""

import argparse
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from local.dynamodb import server

TABLE = "point_record"
DEFAULT_HOME = Path(".local")

# The route on which the simulated legacy accepts point records.
_POINT_RECORDS = "/point-records"
# .chalice/config.json has these names too.
_STACK = "stack.json"
# Held by the process of the stack. The kernel releases it when that ends, for any reason.
LOCK = "lock"
_AWS_CONFIG = "aws.config"
_PROFILE = "stack"


class NotRunningError(Exception):
    """No stack runs on the directory, or another user's. The message is written for people."""


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``, which selects the stack."""
    parser.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_HOME,
        metavar="DIR",
        help=f"the directory of the stack (default: {DEFAULT_HOME})",
    )


def write_stack(home: Path, stack: Mapping[str, Any]) -> None:
    """Write ``stack.json`` and ``aws.config``, readable by their owner only: one has secrets.

    Args:
        home: the stack's directory.
        stack: the URLs ``api``, ``postgres``, ``dynamodb`` and ``legacy``; ``pids``, the ids of the
            stack's own processes by name (an external store or legacy has none); ``log``, the log
            file of the app; ``journal``, the directory of the journal; ``jwt_key``, the
            file of the key that signs tokens; ``legacy_settings``, the settings of a legacy that is
            not the simulated one.
    """
    _write(home / _AWS_CONFIG, _aws_config(stack))
    _write(home / _STACK, json.dumps(stack, indent=2) + "\n")


def remove_stack(home: Path) -> None:
    """Remove the files of ``write_stack``, since the stack no longer runs."""
    for name in (_STACK, _AWS_CONFIG):
        (home / name).unlink(missing_ok=True)


def read_stack(home: Path) -> dict[str, Any]:
    """Return the description that ``write_stack`` wrote.

    Raises:
        NotRunningError: the directory has none or belongs to another user, or the stack that wrote
            it has been killed.
    """
    try:
        stack: dict[str, Any] = json.loads((home / _STACK).read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        message = (
            f"No stack runs on {home}: {home / _STACK} does not exist. Start one with: make run"
        )
        raise NotRunningError(message) from error
    except PermissionError as error:
        message = f"{home / _STACK} cannot be read: the stack belongs to another user."
        raise NotRunningError(message) from error
    if not _is_locked(home):
        raise NotRunningError(f"The stack on {home} is down. Start it again with: make run")
    return stack


def _is_locked(home: Path) -> bool:
    """Return whether a process holds the lock of the directory, as a running stack does."""
    try:
        with (home / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:  # described by hand
        return True
    except BlockingIOError:
        return True
    return False


def connect_dynamodb(stack: Mapping[str, Any], timeout_s: float | None = None) -> Any:
    """Return a boto3 client of a stack's DynamoDB endpoint, with credentials that it accepts.

    Args:
        stack: the stack.
        timeout_s: of one attempt at a call, without further attempts; None for boto3's own.
    """
    if "dynamodb" in stack["pids"]:
        return server.connect(stack["dynamodb"], timeout_s)
    return boto3.client(
        "dynamodb",
        endpoint_url=stack["dynamodb"],
        region_name=_region(),
        config=server.client_config(timeout_s),
    )


def app_environment(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that connect the app to a stack's stores and legacy."""
    is_simulated = "legacy" in stack["pids"]
    return {
        "POINT_RECORD_TABLE": TABLE,
        "DATABASE_URL": stack["postgres"],
        "ACCEPTED_LOG": f"file:{stack['log']}",
        "JOURNAL": f"file:{stack['journal']}",
        "JWT_KEY": f"file:{stack['jwt_key']}",
        "LEGACY_URL": stack["legacy"] + (_POINT_RECORDS if is_simulated else ""),
        **stack["legacy_settings"],
        "AWS_ENDPOINT_URL_DYNAMODB": stack["dynamodb"],
        **_credentials(stack),
    }


def load_environment(home: Path) -> None:
    """Set the variables of ``app_environment`` in this process. Import the app only afterwards.

    Raises:
        NotRunningError: no stack runs on the directory.
    """
    os.environ.update(app_environment(read_stack(home)))


def _aws_config(stack: Mapping[str, Any]) -> str:
    """Return an AWS profile with a stack's DynamoDB endpoint.

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
    """Return the AWS variables for a stack's DynamoDB endpoint.

    An external endpoint gets the credentials of the user's environment, so only the region is set.
    """
    return server.CREDENTIALS if "dynamodb" in stack["pids"] else {"AWS_DEFAULT_REGION": _region()}


def _write(path: Path, text: str) -> None:
    """Write a file atomically, with access for its owner only."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(text)
    new.rename(path)


def _region() -> str:
    """Return the region of the user's environment, or any: boto3 needs one."""
    region: str | None = boto3.Session().region_name
    return region or server.CREDENTIALS["AWS_DEFAULT_REGION"]
