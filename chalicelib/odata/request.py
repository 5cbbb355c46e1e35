"""The OData request: what the router, a batch and the services pass to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.odata.response_budget import ResponseBudget
from chalicelib.principal import Principal


@dataclass(frozen=True, slots=True)
class ODataRequest:
    """One OData request, sent alone or inside a batch.

    Attributes:
        principal: the caller. Records that it may not read do not exist for it.
        service_root: the public URL up to and including ``/odata``, with which links start.
        request_root: the service root in the URL that the request was sent to. Empty: the same.
            URLs in a batch or in ``$id`` may start with either.
        path: the rest of the path; its segments may be percent-encoded or decoded.
        query: the decoded query options, in order.
        headers: the header fields; names are in lower case.
        budget: the time and size limits of the response; without it, those of one query.
    """

    principal: Principal
    service_root: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""
    budget: ResponseBudget | None = None
    request_root: str = ""

    @property
    def roots(self) -> list[str]:
        """The URLs with which references to this service may start."""
        return [each for each in (self.service_root, self.request_root) if each]
