"""The local DynamoDB endpoint survives clients that disconnect."""

import socket
import struct
from typing import Any
from urllib.parse import urlsplit


def test_endpoint_survives_a_reset_connection_in_the_middle_of_a_request(
    dynamodb_url: str, dynamodb: Any, table: str
) -> None:
    url = urlsplit(dynamodb_url)
    for _ in range(3):
        with socket.create_connection((url.hostname, url.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert dynamodb.scan(TableName=table)["Count"] == 0
