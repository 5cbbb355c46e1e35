"""The settings of the simulated legacy, and their strict validation from JSON.

Invariants: a change is applied completely or not at all, and an error names every invalid field.
``capacity`` and ``threads`` (speed) and ``system`` (faults) implement the settings.
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
    """Answer calls beyond the rate with 429 and Retry-After."""

    per_s: float = setting(100.0, "Calls admitted per second.", 0.001, 1e6)
    burst: int = setting(100, "Calls admitted at once after a pause.", 1, 1_000_000)
    retry_after_s: int = setting(1, "Retry-After, in whole seconds.", 0, 3600)
    retry_after: Literal["seconds", "date"] = setting("seconds", "Format of Retry-After.")


@dataclass(frozen=True, slots=True)
class BrownOut:
    """Fail every call at the end of each period."""

    every_s: float = setting(60.0, "Length of a period, in s.", 0.01, 86_400)
    for_s: float = setting(10.0, "How long calls fail at the end of a period, in s.", 0.01, 86_400)
    fault: Literal["500", "503", "hang"] = setting("503", "How calls fail.")

    def __post_init__(self) -> None:
        if self.for_s > self.every_s:
            raise ValueError("must have a for_s of at most every_s")


@dataclass(frozen=True, slots=True)
class Collapse:
    """Slow work down by the factor 1 + alpha(n-1) + beta n(n-1), with n calls worked on at once.

    Gunther's Universal Scalability Law: throughput peaks near n = sqrt((1 - alpha) / beta).
    """

    alpha: float = setting(0.02, "Contention: calls wait for one another.", 0, 10)
    beta: float = setting(0.0015, "Coherency: each call slows down all others.", 0, 10)


@dataclass(frozen=True, slots=True)
class Outage:
    """Fail every call until the outage is over."""

    fault: Literal["refuse", "reset", "hang", "302", "404", "409", "423", "502", "503", "504"] = (
        setting("503", "How calls fail; refuse closes the listening socket and all connections.")
    )
    for_s: float | None = setting(
        None, "How long, in s; null: until the next change.", 0.01, 86_400
    )
    retry_after_s: int | None = setting(
        None, "Retry-After of a response, in whole seconds; null: none.", 0, 3600
    )
    retry_after: Literal["seconds", "date"] = setting("seconds", "Format of Retry-After.")

    def __post_init__(self) -> None:
        if self.fault == "refuse" and self.for_s is None:
            raise ValueError("must have a for_s with refuse: no request could end the outage")


@dataclass(frozen=True, slots=True)
class ThreadPerConnection:
    """Bind a thread to each open connection; calls on further connections wait for a thread."""

    threads: int = setting(10, "Connections served at once.", 1, 100_000)
    keep_alive_s: float = setting(
        60.0, "When an idle connection is closed, in s; 0: after each response.", 0, 3600
    )


@dataclass(frozen=True, slots=True)
class ScriptedResponse:
    """Respond as scripted, at once; only an outage or a brown-out takes precedence."""

    status: int = setting(200, "Status.", 200, 599)
    body: str = setting(SUCCESS, "Body; 204 and 304 are sent without one.")
    content_type: str = setting("application/json", "Content-Type.")
    headers: Mapping[str, str] | None = setting(None, "Further headers.")
    drip_s: float = setting(0.0, "Pause between two bytes of the body, in s; 0: none.", 0, 3600)
    reset: bool = setting(False, "Reset the connection instead of responding.")
    accepts: bool = setting(False, "Accept the record before responding.")
    only_ids: tuple[str, ...] = setting((), "Ids of the records concerned; empty: all.")
    times: int | None = setting(None, "How often to respond so; null: always.", 1, 1_000_000_000)

    def __post_init__(self) -> None:
        for name, value in {**(self.headers or {}), "Content-Type": self.content_type}.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                raise ValueError(f"must not have the invalid header {name!r}: {value!r}")
            if name.lower() in ("content-length", "transfer-encoding"):
                raise ValueError(f"must not have the header {name}: the body determines it")


@dataclass(frozen=True, slots=True)
class LegacySettings:
    """All settings, with their defaults. ``null`` switches an object off."""

    workers: int = setting(50, "Calls worked on at once.", 1, 100_000)
    queue: int = setting(200, "Calls that may wait for a worker; others get 503.", 0, 1e6)
    latency_ms: float = setting(50.0, "Median duration of the work on a call, in ms.", 0, 3_600_000)
    distribution: Literal["constant", "exponential", "lognormal", "pareto"] = setting(
        "lognormal", "Distribution of the duration of the work."
    )
    sigma: float = setting(0.3, "Sigma of the lognormal distribution.", 0, 5)
    pareto_alpha: float = setting(
        1.5, "Alpha of pareto; a smaller one has a heavier tail.", 0.1, 100
    )
    latency_max_ms: float = setting(60_000.0, "Maximum duration of the work, in ms.", 0, 3_600_000)
    error_rate: float = setting(0.0, "Share answered with 500 after the work, not accepted.", 0, 1)
    hang_rate: float = setting(0.0, "Share that is never worked on and gets no response.", 0, 1)
    hang_s: float = setting(60.0, "When a hanging connection is reset, in s.", 0.01, 86_400)
    lost_reply_rate: float = setting(
        0.0, "Share accepted whose connection is reset instead of a response.", 0, 1
    )
    refused_share: float = setting(
        0.0, "Share of the records answered with 422 at once: always the same records.", 0, 1
    )
    conflict_in_progress: bool = setting(
        False, "Answer 409 at once while the first call of the same key is worked on."
    )
    clock_ahead_s: float = setting(
        0.0,
        "How far the clock is ahead, in s: the one of Date and of a Retry-After that is a date.",
        -86_400,
        86_400,
    )
    thread_per_connection: ThreadPerConnection | None = None
    rate_limit: RateLimit | None = None
    brown_out: BrownOut | None = None
    collapse: Collapse | None = None
    outage: Outage | None = None
    answer: ScriptedResponse | None = None
    seed: int = setting(1, "Seed of the random numbers; setting it restarts them.", 0, 2**63)


def change(settings: LegacySettings, body: object) -> LegacySettings:
    """Return ``settings`` with the fields of ``body`` changed.

    A nested object is replaced as a whole: fields that it omits get their defaults.

    Raises:
        InvalidError: a field is invalid; the error has a detail for each such field.
    """
    faults: list[Detail] = []
    values = _parse_fields(LegacySettings, body, "", faults)
    if faults:
        text = "; ".join(f"{each.target or 'the body'} {each.message}" for each in faults)
        raise InvalidError(text, details=faults)
    return replace(settings, **values)


def _parse_fields(
    kind: type[Any], body: object, prefix: str, faults: list[Detail]
) -> dict[str, Any]:
    if not isinstance(body, dict):
        faults.append(Detail(prefix.rstrip("."), "must be an object", InvalidError.code))
        return {}
    kinds = get_type_hints(kind)
    known = {each.name: each for each in fields(kind)}
    values = {}
    for name, value in body.items():
        if name not in known:
            faults.append(Detail(prefix + name, "is not a setting", InvalidError.code))
            continue
        try:
            values[name] = _parse(kinds[name], value, prefix + name, known[name].metadata, faults)
        except ValueError as error:
            faults.append(Detail(prefix + name, str(error), InvalidError.code))
    return values


def _parse(
    kind: Any, value: object, name: str, bounds: Mapping[str, Any], faults: list[Detail]
) -> Any:
    """Parse one value as ``kind``.

    Raises:
        ValueError: what the value must be. Faults of a nested object's fields go to ``faults``.
    """
    if isinstance(kind, UnionType):
        if value is None:
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if is_dataclass(kind):
        return _parse_object(cast(type[Any], kind), value, name, faults)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError("must be one of " + ", ".join(get_args(kind)))
        return value
    if kind in (int, float):
        return _parse_number(kind, value, bounds["low"], bounds["high"])
    if kind == Mapping[str, str]:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError("must be an object of strings")
        return value
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("must be an array of strings")
        return tuple(value)
    if not isinstance(value, kind):
        raise ValueError("must be true or false" if kind is bool else "must be a string")
    return value


def _parse_object(kind: type[Any], value: object, name: str, faults: list[Detail]) -> Any:
    before = len(faults)
    values = _parse_fields(kind, value, f"{name}.", faults)
    return kind(**values) if len(faults) == before else None


def _parse_number(kind: type[Any], value: object, low: float, high: float) -> Any:
    if type(value) not in (int, kind) or not low <= cast(float, value) <= high:
        whole = "whole " if kind is int else ""
        raise ValueError(f"must be a {whole}number from {low:g} to {high:g}")
    return kind(value)
