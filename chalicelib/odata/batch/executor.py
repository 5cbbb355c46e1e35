"""``$batch``: several requests in one, answered one after the other. Protocol 4.01, 11.7.

Each is answered by the same function as a request that comes alone. How they are written is for
``multipart`` and ``json_format``; both read ``Part`` and write ``Reply``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from chalicelib.errors import DependencyError, InvalidError, PunchClockError
from chalicelib.odata.create import Creation
from chalicelib.odata.reads import ODataRequest
from chalicelib.odata.request_url import target_of
from chalicelib.odata.resource import segments_of
from chalicelib.odata.response import ODataResponse
from chalicelib.odata.response_budget import Allowance

# What a part has from the batch unless it says otherwise, and what it cannot say otherwise:
# Protocol 4.01, 11.7.7.1 forbids it to authenticate itself.
_INHERITED = ("odata-version", "odata-maxversion")
_OF_THE_BATCH = ("authorization", "host")
# What a ``$`` before a name means already: Protocol 4.01, 11.7.4.
_SYSTEM = frozenset({"$batch", "$crossjoin", "$all", "$entity", "$root", "$id", "$metadata"})
_LONGEST_NAME = 100
_READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a batch.

    ``group`` names those that all succeed or all fail. ``fault`` is set where the part is none, or
    is one that cannot be served; it is then its answer.
    """

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    id: str | None = None
    group: str | None = None
    depends_on: Sequence[str] = ()
    fault: PunchClockError | None = None


def is_name(value: object) -> bool:
    """Say whether this can name a part or a group: it may go into a header of the answer."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def require_at_most(most: int, requests: int) -> None:
    """Raise ``InvalidError`` where a batch has more requests than that."""
    if requests > most:
        raise InvalidError(f"A batch may have {most} requests (ODATA_BATCH_REQUESTS), not more.")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a part was answered."""

    part: Part
    response: ODataResponse

    @property
    def failed(self) -> bool:
        return self.response.status >= 400


class Batch:
    """Answers the parts of one batch.

    Args:
        request: the batch itself.
        serve: answers one request, whatever is wrong with it.
        refuse: writes an error as the answer to a request.
        creation: reads a request that is to create something together with others.
        create: does what such requests ask for, all or none.
        allowance: what all the answers together have.
        query_s: what any one of them has of its time.
    """

    def __init__(
        self,
        request: ODataRequest,
        serve: Callable[[ODataRequest], ODataResponse],
        refuse: Callable[[ODataRequest, PunchClockError], ODataResponse],
        creation: Callable[[ODataRequest], Creation],
        create: Callable[[Sequence[Creation]], Sequence[ODataResponse]],
        allowance: Allowance,
        query_s: float,
    ) -> None:
        self._request = request
        self._serve = serve
        self._refuse = refuse
        self._creation = creation
        self._create = create
        self._left = allowance
        self._query_s = query_s
        self._urls: dict[str, str] = {}
        self._succeeded: dict[str, bool] = {}

    def replies(self, parts: Sequence[Part], *, to_the_end: bool) -> Iterator[Reply]:
        """Yield the reply to each part, in order; up to the first error unless ``to_the_end``."""
        for name, members in groupby(parts, key=lambda part: part.group or id(part)):
            together = list(members)
            replies = self._together(together) if isinstance(name, str) else [self._one(*together)]
            yield from replies
            failed = any(reply.failed for reply in replies)
            if isinstance(name, str):
                self._succeeded[name] = not failed
            if failed and not to_the_end:
                return

    def _together(self, parts: list[Part]) -> list[Reply]:
        """Answer parts of which all must succeed, or none: reads, or creations stored together."""
        if len(parts) == 1 or all(part.method in _READS for part in parts):
            return [self._one(part) for part in parts]
        creations = []
        for part in parts:
            try:
                creations.append(self._creation(self._meant(part)))
            except PunchClockError as error:
                others = DependencyError("Another request that is to succeed with it has failed.")
                return [self._refused(each, error if each is part else others) for each in parts]
        try:
            responses = self._create(creations)
        except PunchClockError as error:
            return [self._refused(part, error) for part in parts]
        return [self._noted(*each) for each in zip(parts, responses, strict=True)]

    def _one(self, part: Part) -> Reply:
        try:
            return self._noted(part, self._serve(self._meant(part)))
        except PunchClockError as error:
            return self._refused(part, error)

    def _noted(self, part: Part, response: ODataResponse) -> Reply:
        """Keep what later parts may refer to."""
        reply = Reply(part, response)
        self._left = self._left.without(response.body)
        if part.id is not None:
            self._succeeded[part.id] = not reply.failed
            if not reply.failed:
                self._urls[part.id] = response.headers.get("Location") or self._resolved(part.url)
        return reply

    def _refused(self, part: Part, error: PunchClockError) -> Reply:
        if part.id is not None:
            self._succeeded[part.id] = False
        return Reply(part, self._refuse(self._request, error))

    def _meant(self, part: Part) -> ODataRequest:
        """Return the request that a part stands for.

        Raises:
            InvalidError: it is none, or there is no room left for its answer.
            DependencyError: it builds on one that failed.
            NotFoundError: it leads out of the service.
            UnavailableError: there is no time left for it.
        """
        if part.fault:
            raise part.fault
        allowance = self._left.for_part(self._query_s)
        for name in part.depends_on:
            if not self._has_succeeded(name, "dependsOn"):
                raise DependencyError(f"It depends on {name[:100]}, which has failed.")
        root = self._request.service_root
        path, query = target_of(self._resolved(part.url), root)
        if segments_of(path) == ["$batch"]:
            raise InvalidError("A batch has no batch within.", target="url")
        headers = self._request.headers
        inherited = {name: headers[name] for name in _INHERITED if name in headers}
        own = {name: headers[name] for name in _OF_THE_BATCH if name in headers}
        foreign = {n: text for n, text in part.headers.items() if n not in _OF_THE_BATCH}
        return ODataRequest(
            self._request.principal,
            root,
            path,
            query,
            {**inherited, **foreign, **own},
            part.method,
            part.body,
            allowance,
        )

    def _resolved(self, url: str) -> str:
        """Put the URL of an entity in the place of a reference to the request that made it."""
        first, slash, rest = url.partition("/")
        name, mark, query = first.partition("?")
        if not name.startswith("$") or name.partition("(")[0] in _SYSTEM:
            return url
        if not self._has_succeeded(name[1:], "url"):
            raise DependencyError(f"It refers to {name[:100]}, which has failed.")
        return f"{self._urls[name[1:]].partition('?')[0]}{mark}{query}{slash}{rest}"

    def _has_succeeded(self, name: str, target: str) -> bool:
        if name not in self._succeeded:
            raise InvalidError(f"No request before this one is called {name[:100]}.", target=target)
        return self._succeeded[name]
