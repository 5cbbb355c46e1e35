"""The local DynamoDB endpoint: clients that disconnect, concurrent puts, and a kill -9."""

import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import BotoCoreError, ClientError

from local.dynamodb import server as dynamodb_server

THREADS = 16


def in_threads(call: Callable[[int], bool]) -> list[bool]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(call, range(THREADS)))


def put(client: Any, table: str, key: str, condition: str = "attribute_not_exists(id)") -> bool:
    item = {"id": {"S": key}, "record": {"S": "x" * 300}}
    try:
        client.put_item(TableName=table, Item=item, ConditionExpression=condition)
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def test_web_page_has_no_access(dynamodb_url: str, table: str) -> None:
    """dynalite lets every page read every answer, and checks no signature."""
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.Scan",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request,"
        " SignedHeaders=host, Signature=00",
    }
    body = json.dumps({"TableName": table})
    assert requests.post(dynamodb_url, body, headers=headers, timeout=5).status_code == 200
    for method in ("POST", "OPTIONS"):
        page = requests.request(
            method,
            dynamodb_url,
            data=body,
            headers=headers | {"Origin": "https://evil.example"},
            timeout=5,
        )
        assert page.status_code == 403
        assert "Access-Control-Allow-Origin" not in page.headers


def test_endpoint_survives_a_reset_connection_in_the_middle_of_a_request(
    dynamodb_url: str, dynamodb: Any, table: str
) -> None:
    url = urlsplit(dynamodb_url)
    for _ in range(3):
        with socket.create_connection((url.hostname, url.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert dynamodb.scan(TableName=table)["Count"] == 0


def test_one_of_concurrent_conditional_puts_succeeds(dynamodb: Any, table: str) -> None:
    assert in_threads(lambda _: put(dynamodb, table, "a")).count(True) == 1


def test_condition_is_judged_anew_for_each_put(dynamodb: Any, table: str) -> None:
    conditions = ["attribute_exists(id)", "attribute_not_exists(id)", "attribute_exists(id)"]
    results = [put(dynamodb, table, "a", condition) for condition in conditions]
    assert results == [False, True, True]
    for _ in range(2):
        with pytest.raises(ClientError, match="Syntax error"):
            put(dynamodb, table, "a", "attribute_exists(")


def test_acknowledged_put_and_delete_survive_a_kill(tmp_path: Path) -> None:
    child, url = dynamodb_server.start(tmp_path)
    client = dynamodb_server.connect(url)
    dynamodb_server.create_table(client, "table")
    stored: set[str] = set()
    deleted: set[str] = set()

    def write_until_killed(thread: int) -> bool:
        for number in range(10_000):
            key = f"{thread} {number}"
            try:
                put(client, "table", key)
                stored.add(key)
                if number % 3 == 0:
                    stored.remove(key)  # unknown, until the delete is acknowledged
                    client.delete_item(TableName="table", Key={"id": {"S": key}})
                    deleted.add(key)
            except (BotoCoreError, ClientError):
                return True
            if len(stored) >= 300:
                os.kill(child.pid, signal.SIGKILL)
        return False

    try:
        assert all(in_threads(write_until_killed))
        child.stop()
        child, url = dynamodb_server.start(tmp_path)
        pages = dynamodb_server.connect(url).get_paginator("scan").paginate(TableName="table")
        found = {item["id"]["S"] for page in pages for item in page["Items"]}
    finally:
        child.stop()
    assert len(stored) >= 300
    assert stored <= found
    assert deleted
    assert not deleted & found
