"""The DynamoDB endpoint of the stack: dynalite, on Node.

Promises DynamoDB's own conditional puts, batches and paged scans on the loopback interface, and
that with a directory every acknowledged item outlives a kill -9. It asks for no credentials.
"""

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.node import install
from local.process import HOST, Child, start_on_port

# boto3 wants to sign, whatever it signs with: dynalite doesn't look.
CREDENTIALS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}


def start(home: Path, port: int = 0, *, keep: bool = True) -> tuple[Child, str]:
    """Start the endpoint on ``port`` (0: any free one) and return it with its URL.

    With ``keep`` its items are kept in ``home/dynamodb``, else in memory.

    Raises:
        StartError: with the reason.
    """
    node, modules = install(Path(__file__).parent, "dynalite")
    directory = home.resolve() / "dynamodb"
    if keep:
        directory.mkdir(parents=True, exist_ok=True)

    def make(chosen: int) -> Child:
        script = Path(__file__).with_name("server.js")
        return Child(
            "dynamodb",
            [node, script, str(chosen), *([directory] if keep else [])],
            home=home,
            environment={"NODE_PATH": str(modules)},
        )

    child, port = start_on_port(port, make)
    return child, f"http://{HOST}:{port}"


def connect(url: str) -> Any:
    """Return a boto3 client of the endpoint, whatever the environment says."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=50),
    )


def create_table(client: Any, name: str) -> None:
    """Create the buffer's table as it is deployed, unless it is there."""
    try:
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    except client.exceptions.ResourceInUseException:
        return
    client.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
