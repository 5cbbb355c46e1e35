"""Run a DynamoDB endpoint: dynalite, on Node.js.

Invariant: conditional puts, batches and paged scans behave as in DynamoDB. The endpoint listens on
the loopback interface only. With a directory, every acknowledged item survives a ``kill -9``. Any
credentials are accepted.
"""

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.child_process import ChildProcess, ServerProcess
from local.node import Installation

# boto3 signs every request, so it needs some credentials; dynalite does not check the signature.
CREDENTIALS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}


def start_installation() -> Installation:
    """Start to install dynalite, unless it is installed.

    Raises:
        StartError: Node.js could not be installed.
    """
    return Installation(Path(__file__).parent, "dynalite")


def start(home: Path, port: int = 0, *, keep: bool = True) -> tuple[ChildProcess, str]:
    """Start the endpoint on ``port`` (0: any free one) and return it with its URL.

    With ``keep`` its items are stored in ``home/dynamodb``, otherwise in memory.

    Raises:
        StartError: dynalite could not be installed or did not start.
    """
    server = launch(home, port, start_installation(), keep=keep).wait_ready()
    return server.child, server.url


def launch(
    home: Path, port: int, installation: Installation, *, keep: bool = True
) -> ServerProcess:
    """Wait for the installation and start the endpoint. See ``start``."""
    node, modules = installation.wait()
    directory = home.resolve() / "dynamodb"
    if keep:
        directory.mkdir(parents=True, exist_ok=True)

    def make(chosen: int) -> ChildProcess:
        script = Path(__file__).with_name("server.js")
        return ChildProcess(
            "dynamodb",
            [node, script, str(chosen), *([directory] if keep else [])],
            home=home,
            environment={"NODE_PATH": str(modules)},
        )

    return ServerProcess(port, make)


def client_config(timeout_s: float | None = None) -> Config:
    """Return the configuration of a client; with a timeout, a call has one attempt only."""
    if timeout_s is None:
        return Config(retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=50)
    return Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1}
    )


def connect(url: str, timeout_s: float | None = None) -> Any:
    """Return a boto3 client of the endpoint that ignores the AWS variables of the environment."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=client_config(timeout_s),
    )


def create_table(client: Any, name: str, key: str = "id") -> None:
    """Create a table with this key, by default the buffer's, unless it exists."""
    try:
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    except client.exceptions.ResourceInUseException:
        return
    client.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
