"""The table of the issuer's keys: the last good JWK Set of each issuer, with its time.

The schedule ``store-keys`` writes it. Each process that authenticates callers reads it at its
start, so that it does not need the issuer (docs/decisions/0035). An item has the URL of the keys
as its key: ``{"url": {"S": …}, "keys": {"S": …}, "fetched_at": {"N": …}}``.

A principal that may write this table can forge tokens.
"""

from typing import Any

from chalicelib.bounded_call import begin
from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from chalicelib.errors import UnavailableError
from chalicelib.identity.issuer_keys import MAX_SKEW_S
from chalicelib.identity.jwk_set import MAX_BYTES, FetchedSet, JwkSetError

# A get takes milliseconds. A phone waits for it, and the issuer can still be asked afterwards.
_READ_TIMEOUT_S = 2.0


class KeyTableError(JwkSetError):
    """The table cannot be read or written now, or its item is not what this service writes."""


class KeyTable:
    """The item of one issuer.

    Args:
        client: a client of DynamoDB: ``dynamodb.client.connect``.
        table: the name of the table.
        url: the URL of the issuer's keys.
    """

    def __init__(self, client: Any, table: str, url: str) -> None:
        self._client = client
        self._table = table
        self._url = url

    def read(self, *, consistent: bool = False) -> FetchedSet:
        """Return the stored JWK Set.

        Args:
            consistent: whether the read returns the last write; if not, it costs half.

        Raises:
            KeyTableError: the table does not respond in time, or has no usable item.
        """

        def get() -> dict[str, Any]:
            response: dict[str, Any] = self._client.get_item(
                TableName=self._table, Key={"url": {"S": self._url}}, ConsistentRead=consistent
            )
            return response

        try:
            response = begin(get, "The table of keys")(_READ_TIMEOUT_S)
        except DynamoDBError as error:
            raise KeyTableError(str(error)) from error
        except UnavailableError as error:
            raise KeyTableError("no response in time") from error
        item = response.get("Item")
        if item is None:
            raise KeyTableError("the table has no keys for JWKS_URL yet")
        try:
            text, fetched_at = item["keys"]["S"], float(item["fetched_at"]["N"])
        except (KeyError, TypeError, ValueError) as error:
            raise KeyTableError("the item in the table is malformed") from error
        if not isinstance(text, str) or len(text) > MAX_BYTES:
            raise KeyTableError("the item in the table is malformed or too long")
        return FetchedSet(text, fetched_at)

    def write(self, text: str, fetched_at: float, now: float) -> bool:
        """Store a JWK Set, unless a later one is stored; return whether it is stored. Idempotent.

        Args:
            text: the JWK Set.
            fetched_at: when the issuer was asked for it, in seconds since the epoch.
            now: the present, in seconds since the epoch. An item from the future, by a wrong clock,
                is replaced: otherwise no later write would succeed until then.

        Raises:
            KeyTableError: the table does not respond, or rejects the write.
        """
        #   run A ── fetch ───────────────────────────── put ──▶ condition fails: older
        #   run B ─────────── fetch ── put ──▶ stored
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "url": {"S": self._url},
                    "keys": {"S": text},
                    "fetched_at": _number(fetched_at),
                },
                ConditionExpression="NOT attribute_type(fetched_at, :number)"
                " OR fetched_at <= :fetched_at OR fetched_at > :future",
                ExpressionAttributeValues={
                    ":number": {"S": "N"},
                    ":fetched_at": _number(fetched_at),
                    ":future": _number(now + MAX_SKEW_S),
                },
            )
        except DynamoDBError as error:
            if error.code == "ConditionalCheckFailedException":
                return False
            raise KeyTableError(str(error)) from error
        return True


def _number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.3f}"}
