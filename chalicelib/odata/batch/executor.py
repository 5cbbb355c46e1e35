"""Execute the individual requests of a batch, one after the other. Protocol 4.01, section 11.7.

The router executes each individual request as if it came alone. The formats are in ``multipart``
and ``json_format``: both parse ``IndividualRequest`` and write ``IndividualResponse``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from chalicelib.errors import (
    DependencyError,
    InvalidError,
    NotImplementedByServiceError,
    PunchClockError,
)
from chalicelib.odata import negotiation
from chalicelib.odata.create import Creation
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.request_url import parse_request_url
from chalicelib.odata.resource import segments_of
from chalicelib.odata.response import ODataResponse
from chalicelib.odata.response_budget import ResponseBudget

# Headers that an individual request inherits, unless it has its own. It inherits Accept, too, if
# that is about its response.
_INHERITED = ("odata-version", "odata-maxversion")
# Headers that an individual request must not have, because only the batch authenticates the caller:
# Protocol 4.01, 11.7.7.1. If it has them, they are ignored.
_BATCH_ONLY = ("authorization", "host")
# Names with ``$`` that are not references to an individual request: Protocol 4.01, 11.7.4.
_SYSTEM_RESOURCES = frozenset(
    {"$batch", "$crossjoin", "$all", "$entity", "$root", "$id", "$metadata"}
)
_MAX_ID_LENGTH = 100
_READ_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class IndividualRequest:
    """One request of a batch.

    Attributes:
        id: the ``id`` in JSON, the ``Content-ID`` in multipart.
        atomicity_group: the name of the group, or change set, that succeeds or fails as a whole.
        depends_on: the ids of requests and groups that must have succeeded.
        error: why the request is malformed or not supported; it becomes the response.
    """

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    id: str | None = None
    atomicity_group: str | None = None
    depends_on: Sequence[str] = ()
    error: PunchClockError | None = None


def is_valid_id(value: object) -> bool:
    """Return whether a value can identify a request or group, also in a header of the response."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID_LENGTH and value.isprintable()


def require_at_most(max_requests: int, requests: int) -> None:
    """Raise ``InvalidError`` if a batch has more than ``max_requests``."""
    if requests > max_requests:
        raise InvalidError(
            f"A batch may have at most {max_requests} requests (ODATA_BATCH_REQUESTS)."
        )


@dataclass(frozen=True, slots=True)
class IndividualResponse:
    """The response to one request of a batch."""

    request: IndividualRequest
    response: ODataResponse

    @property
    def is_error(self) -> bool:
        return self.response.status >= 400


class BatchExecutor:
    """Executes one batch.

    Args:
        batch: the batch request.
        respond: responds to one request; it raises nothing.
        respond_to_error: builds the response for an error.
        parse_creation: parses a request of a change set.
        create: stores the records of all creations, or none.
        budget: the time and bytes of the whole batch.
        query_timeout_s: the maximum time of one individual request.
    """

    def __init__(
        self,
        batch: ODataRequest,
        respond: Callable[[ODataRequest], ODataResponse],
        respond_to_error: Callable[[ODataRequest, PunchClockError], ODataResponse],
        parse_creation: Callable[[ODataRequest], Creation],
        create: Callable[[Sequence[Creation]], Sequence[ODataResponse]],
        budget: ResponseBudget,
        query_timeout_s: float,
    ) -> None:
        self._batch = batch
        self._respond = respond
        self._respond_to_error = respond_to_error
        self._parse_creation = parse_creation
        self._create = create
        self._budget = budget
        self._query_timeout_s = query_timeout_s
        # By id: the URL of what a request created or read, and whether a request succeeded.
        self._urls: dict[str, str] = {}
        self._succeeded: dict[str, bool] = {}

    def execute(
        self, requests: Sequence[IndividualRequest], *, continue_on_error: bool
    ) -> Iterator[IndividualResponse]:
        """Yield the responses in order; stop after the first error unless ``continue_on_error``."""
        for group, members in groupby(requests, key=lambda each: each.atomicity_group or id(each)):
            responses = self._execute_together(list(members))
            yield from responses
            failed = any(each.is_error for each in responses)
            if isinstance(group, str):
                self._succeeded[group] = not failed
            if failed and not continue_on_error:
                return

    def _execute_together(self, requests: list[IndividualRequest]) -> list[IndividualResponse]:
        """Execute a single request, or a group atomically.

        A group of reads changes nothing, so it needs no transaction. Any other group creates
        records, which are stored together.
        """
        if len(requests) == 1 or all(each.method in _READ_METHODS for each in requests):
            return [self._execute(each) for each in requests]
        creations = []
        for position, request in enumerate(requests):
            earlier = {each.id for each in requests[:position]}
            try:
                creations.append(self._parse_creation(self._resolve(request, earlier)))
            except PunchClockError as error:
                dependency_error = DependencyError("Another request of the same change set failed.")
                return [
                    self._reject(each, error if each is request else dependency_error)
                    for each in requests
                ]
        try:
            responses = self._create(creations)
        except PunchClockError as error:
            return [self._reject(each, error) for each in requests]
        return [self._complete(*each) for each in zip(requests, responses, strict=True)]

    def _execute(self, request: IndividualRequest) -> IndividualResponse:
        try:
            return self._complete(request, self._respond(self._resolve(request)))
        except PunchClockError as error:
            return self._reject(request, error)

    def _complete(self, request: IndividualRequest, response: ODataResponse) -> IndividualResponse:
        """Record the result, to which later requests may refer, and charge the budget."""
        result = IndividualResponse(request, response)
        self._budget = self._budget.after(response.body)
        if request.id is not None:
            self._succeeded[request.id] = not result.is_error
            if not result.is_error:
                location = response.headers.get("Location")
                self._urls[request.id] = location or self._resolve_reference(request.url)
        return result

    def _reject(self, request: IndividualRequest, error: PunchClockError) -> IndividualResponse:
        if request.id is not None:
            self._succeeded[request.id] = False
        return IndividualResponse(request, self._respond_to_error(self._batch, error))

    def _resolve(
        self, request: IndividualRequest, earlier: Collection[str | None] = ()
    ) -> ODataRequest:
        """Turn an individual request into one that the router can execute.

        Args:
            request: the individual request.
            earlier: the ids of requests that will be executed together with it. It may depend on
                them, because all of them succeed or fail together.

        Raises:
            InvalidError: the request is malformed, or the batch response has no bytes left.
            DependencyError: the request depends on one that failed.
            NotImplementedByServiceError: the URL refers to one of ``earlier``.
            NotFoundError: the URL is not below the service root.
            UnavailableError: the batch has no time left.
        """
        if request.error:
            raise request.error
        budget = self._budget.for_individual_request(self._query_timeout_s)
        for name in request.depends_on:
            if name not in earlier and not self._has_succeeded(name, "dependsOn"):
                raise DependencyError(f"This request depends on {name[:100]}, which failed.")
        url = self._resolve_reference(request.url, earlier)
        path, query = parse_request_url(url, self._batch.roots)
        if segments_of(path) == ["$batch"]:
            raise InvalidError("A batch must not contain another batch.", target="url")
        headers = self._batch.headers
        inherited = {name: headers[name] for name in _INHERITED if name in headers}
        if accept := negotiation.accept_of_parts(headers):
            inherited["accept"] = accept
        batch_only = {name: headers[name] for name in _BATCH_ONLY if name in headers}
        own = {name: text for name, text in request.headers.items() if name not in _BATCH_ONLY}
        return ODataRequest(
            self._batch.principal,
            self._batch.service_root,
            path,
            query,
            {**inherited, **own, **batch_only},
            request.method,
            request.body,
            budget,
            self._batch.request_root,
        )

    def _resolve_reference(self, url: str, earlier: Collection[str | None] = ()) -> str:
        """Replace a reference to an earlier request (``$1``) by the URL of its entity."""
        first, slash, rest = url.partition("/")
        name, mark, query = first.partition("?")
        if not name.startswith("$") or name.partition("(")[0] in _SYSTEM_RESOURCES:
            return url
        if name[1:] in earlier:
            raise NotImplementedByServiceError(
                f"A reference to a request of the same change set ({name[:100]}) is not supported:"
                " the records of a change set are stored together, after all its requests are read."
                " Refer to the record after the change set.",
                target="url",
            )
        if not self._has_succeeded(name[1:], "url"):
            raise DependencyError(f"This request refers to {name[:100]}, which failed.")
        return f"{self._urls[name[1:]].partition('?')[0]}{mark}{query}{slash}{rest}"

    def _has_succeeded(self, name: str, target: str) -> bool:
        if name not in self._succeeded:
            raise InvalidError(
                f"No earlier request of the batch has the id {name[:100]}.", target=target
            )
        return self._succeeded[name]
