"""A client that sends requests to the service without HTTP."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.response import ODataResponse
from chalicelib.principal import Principal
from tests.support.tokens import INTEGRATION

ROOT = "http://localhost/api/odata"


@dataclass(frozen=True)
class Client:
    """Sends requests to a service on behalf of a principal; the default may read everything."""

    service: ODataService
    principal: Principal = INTEGRATION

    def get(self, path: str, /, *query: tuple[str, str], **headers: str) -> ODataResponse:
        """GET a path with decoded options; header names have underscores instead of dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.service.get(ODataRequest(self.principal, ROOT, path, query, named))

    def json(self, path: str, /, *query: tuple[str, str], **headers: str) -> Any:
        """GET JSON."""
        return json.loads(self.get(path, *query, **headers).body)

    def follow(self, link: str, **headers: str) -> Any:
        """GET the JSON at a nextLink."""
        parts = urlsplit(link)
        path = parts.path.removeprefix(urlsplit(ROOT).path)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        return self.json(path, *query, **headers)

    def pages(self, path: str, /, *query: tuple[str, str], **headers: str) -> list[list[Any]]:
        """GET all pages of a collection."""
        answer = self.json(path, *query, **headers)
        pages = [answer["value"]]
        while link := answer.get("@odata.nextLink"):
            answer = self.follow(link, **headers)
            pages.append(answer["value"])
        return pages

    def ids(self, entity_set: str, condition: str, /, *query: tuple[str, str]) -> list[Any]:
        """Return the keys of the entities that a filter selects, in the response's order."""
        key = "pointId,number" if entity_set == "IntegrationLogs" else "id"
        answer = self.json(
            entity_set, ("$filter", condition), ("$select", key), ("$top", "1000"), *query
        )
        return [key_of(each) for each in answer["value"]]


def key_of(entity: Any) -> Any:
    """Return the key of an entity in JSON; of a log, as it stands in a path."""
    if "number" in entity:
        return f"pointId={entity['pointId']},number={entity['number']}"
    return entity["id"]


def rows(client: Client, entity_set: str, apply: str, *query: tuple[str, str]) -> list[Any]:
    """GET the result rows of ``$apply``, without annotations."""
    answer = client.json(entity_set, ("$apply", apply), *query)
    return [
        {name: value for name, value in row.items() if "@" not in name} for row in answer["value"]
    ]


def row(client: Client, entity_set: str, apply: str, *query: tuple[str, str]) -> Any:
    """GET the only result row of ``$apply``."""
    (result,) = rows(client, entity_set, apply, *query)
    return result
