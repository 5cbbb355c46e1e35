"""Ask the service as an HTTP client would."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.odata.reads import ODataRequest, ODataResponse, ODataService
from chalicelib.principal import Principal
from tests.support.tokens import INTEGRATION

ROOT = "http://localhost/api/odata"


@dataclass(frozen=True)
class Client:
    """Asks one service as one principal: as the operator, who sees all, unless told otherwise."""

    service: ODataService
    principal: Principal = INTEGRATION

    def get(self, path: str, /, *query: tuple[str, str], **headers: str) -> ODataResponse:
        """GET a path with decoded options; headers have underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.service.get(ODataRequest(self.principal, ROOT, path, query, named))

    def json(self, path: str, /, *query: tuple[str, str], **headers: str) -> Any:
        """GET JSON."""
        return json.loads(self.get(path, *query, **headers).body)

    def follow(self, link: str, **headers: str) -> Any:
        """GET the JSON that a nextLink leads to."""
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
        """Return the keys of the entities that a filter selects, in the order of the answer."""
        answer = self.json(
            entity_set, ("$filter", condition), ("$select", "id"), ("$top", "1000"), *query
        )
        return [each["id"] for each in answer["value"]]


def rows(client: Client, entity_set: str, apply: str, *query: tuple[str, str]) -> list[Any]:
    """GET the rows that ``$apply`` gives, without what is written about them."""
    answer = client.json(entity_set, ("$apply", apply), *query)
    return [
        {name: value for name, value in row.items() if "@" not in name} for row in answer["value"]
    ]


def row(client: Client, entity_set: str, apply: str, *query: tuple[str, str]) -> Any:
    """GET the only row that ``$apply`` gives."""
    (found,) = rows(client, entity_set, apply, *query)
    return found
