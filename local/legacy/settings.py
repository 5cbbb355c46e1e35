"""What the simulated legacy can be told to do, and the strict reading of it from JSON.

Promises that a change is taken whole or not at all, and that a refusal names every field at fault.
What the settings lead to is up to ``capacity`` (how fast) and ``system`` (which faults).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from chalicelib.errors import Detail, InvalidError
from chalicelib.settings import setting

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token of RFC 9110, section 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")

SUCCESS = '{"message": "success"}'


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Calls beyond the rate are answered 429 with Retry-After."""

    per_s: float = setting(100.0, "Calls that are let in each second.", 0.001, 1e6)
    burst: int = setting(100, "Calls that may come at once after a silence.", 1, 1_000_000)
    retry_after_s: int = setting(1, "What Retry-After says, whole seconds as HTTP has it.", 0, 3600)
    retry_after: Literal["seconds", "date"] = setting("seconds", "How Retry-After is written.")


@dataclass(frozen=True, slots=True)
class BrownOut:
    """Each period ends in a time in which every call fails."""

    every_s: float = setting(60.0, "Length of a period.", 0.01, 86_400)
    for_s: float = setting(10.0, "How long the end of a period fails.", 0.01, 86_400)
    fault: Literal["500", "503", "hang"] = setting("503", "How it fails.")

    def __post_init__(self) -> None:
        if self.for_s > self.every_s:
            raise ValueError("must have a for_s of at most its every_s")


@dataclass(frozen=True, slots=True)
class Collapse:
    """Work takes 1 + alpha(n-1) + beta n(n-1) times as long with n calls worked on at once.

    Gunther's Universal Scalability Law: throughput peaks near n = sqrt((1 - alpha) / beta).
    """

    alpha: float = setting(0.02, "Contention: waiting for one another.", 0, 10)
    beta: float = setting(0.0015, "Coherency: what each costs all others.", 0, 10)


@dataclass(frozen=True, slots=True)
class Outage:
    """Every call fails until it is over."""

    fault: Literal["refuse", "reset", "503", "hang"] = setting(
        "503", "How it fails; refuse closes the listening socket and every other connection."
    )
    for_s: float | None = setting(None, "How long; null until the next change.", 0.01, 86_400)

    def __post_init__(self) -> None:
        if self.fault == "refuse" and self.for_s is None:
            raise ValueError("must have a for_s to refuse: nobody could come in to end it")


@dataclass(frozen=True, slots=True)
class Answer:
    """A scripted answer, given at once in place of all else but an outage or a brown-out."""

    status: int = setting(200, "Status.", 200, 599)
    body: str = setting(SUCCESS, "Body; none is sent with a 204 or 304.")
    content_type: str = setting("application/json", "Content-Type.")
    headers: Mapping[str, str] | None = setting(None, "Further headers.")
    drip_s: float = setting(0.0, "Wait between two bytes of the body; 0 sends it whole.", 0, 3600)
    reset: bool = setting(False, "Reset the connection in place of an answer.")
    accepts: bool = setting(False, "Accept the record all the same, before the answer.")
    only_ids: tuple[str, ...] = setting((), "Ids of the records it is for; none means all.")
    times: int | None = setting(None, "How often it is given; null always.", 1, 1_000_000_000)

    def __post_init__(self) -> None:
        for name, value in {**(self.headers or {}), "Content-Type": self.content_type}.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                raise ValueError(f"must have a valid header in place of {name!r}: {value!r}")
            if name.lower() in ("content-length", "transfer-encoding"):
                raise ValueError(f"must not have the header {name}: the body decides it")


@dataclass(frozen=True, slots=True)
class LegacySettings:
    """All that can be set, with what a fresh one does. ``null`` switches an object off."""

    workers: int = setting(50, "Calls worked on at once.", 1, 100_000)
    queue: int = setting(200, "Calls that may wait for a worker; beyond them 503 at once.", 0, 1e6)
    latency_ms: float = setting(50.0, "Median time of the work on a call.", 0, 3_600_000)
    distribution: Literal["constant", "exponential", "lognormal", "pareto"] = setting(
        "lognormal", "How the time of the work is spread about its median."
    )
    sigma: float = setting(0.3, "Spread of lognormal.", 0, 5)
    pareto_alpha: float = setting(1.5, "Tail of pareto: the smaller, the heavier.", 0.1, 100)
    latency_max_ms: float = setting(60_000.0, "Longest time of the work.", 0, 3_600_000)
    error_rate: float = setting(0.0, "Share answered 500 after the work, not accepted.", 0, 1)
    hang_rate: float = setting(0.0, "Share that is never worked on or answered.", 0, 1)
    hang_s: float = setting(60.0, "When a hanging connection is dropped.", 0.01, 86_400)
    lost_reply_rate: float = setting(
        0.0, "Share whose record is accepted and whose connection drops without an answer.", 0, 1
    )
    rate_limit: RateLimit | None = None
    brown_out: BrownOut | None = None
    collapse: Collapse | None = None
    outage: Outage | None = None
    answer: Answer | None = None
    seed: int = setting(1, "Start of the randomness; setting it starts it again.", 0, 2**63)


def change(settings: LegacySettings, body: object) -> LegacySettings:
    """Return ``settings`` with the fields of ``body`` in place of its own.

    An object within is replaced whole: what it leaves out takes its default.

    Raises:
        InvalidError: with one detail for every field at fault.
    """
    faults: list[Detail] = []
    values = _read_fields(LegacySettings, body, "", faults)
    if faults:
        text = "; ".join(f"{each.target or 'the body'} {each.message}" for each in faults)
        raise InvalidError(text, details=faults)
    return replace(settings, **values)


def _read_fields(
    kind: type[Any], body: object, prefix: str, faults: list[Detail]
) -> dict[str, Any]:
    if not isinstance(body, dict):
        faults.append(Detail(prefix.rstrip("."), "must be an object"))
        return {}
    kinds = get_type_hints(kind)
    known = {each.name: each for each in fields(kind)}
    values = {}
    for name, value in body.items():
        if name not in known:
            faults.append(Detail(prefix + name, "is not a setting"))
            continue
        try:
            values[name] = _read(kinds[name], value, prefix + name, known[name].metadata, faults)
        except ValueError as error:
            faults.append(Detail(prefix + name, str(error)))
    return values


def _read(
    kind: Any, value: object, name: str, bounds: Mapping[str, Any], faults: list[Detail]
) -> Any:
    """Read one value as ``kind``.

    Raises:
        ValueError: with what it must be. The faults of an object's own fields go to ``faults``.
    """
    if isinstance(kind, UnionType):
        if value is None:
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if is_dataclass(kind):
        return _read_object(cast(type[Any], kind), value, name, faults)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError("must be one of " + ", ".join(get_args(kind)))
        return value
    if kind in (int, float):
        return _read_number(kind, value, bounds["low"], bounds["high"])
    if kind == Mapping[str, str]:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError("must be an object of texts")
        return value
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("must be an array of texts")
        return tuple(value)
    if not isinstance(value, kind):
        raise ValueError("must be true or false" if kind is bool else "must be a text")
    return value


def _read_object(kind: type[Any], value: object, name: str, faults: list[Detail]) -> Any:
    before = len(faults)
    values = _read_fields(kind, value, f"{name}.", faults)
    return kind(**values) if len(faults) == before else None


def _read_number(kind: type[Any], value: object, low: float, high: float) -> Any:
    if type(value) not in (int, kind) or not low <= cast(float, value) <= high:
        whole = "whole " if kind is int else ""
        raise ValueError(f"must be a {whole}number from {low:g} to {high:g}")
    return kind(value)
