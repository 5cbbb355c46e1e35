"""Judge a response: by the operator's conditions first, then by the rules of ``outcome``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.integrator.legacy.messages.media_type import decode_text, is_problem
from chalicelib.integrator.legacy.messages.retry_after import requested_wait_s
from chalicelib.integrator.outcome import CallResult, Outcome, judge_by_rules

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions

_NOT_WHOLE = "since the body is cut, too long or not decodable"
# The settings of conditions, in the order in which they are asked, and what each decides. They are
# here because a run without conditions does not import JMESPath, and ``response_conditions`` does.
OUTCOME_OF_CONDITION = {
    "LEGACY_DELIVERED": Outcome.DELIVERED,
    "LEGACY_DUPLICATE": Outcome.DELIVERED,
    "LEGACY_RETRY": Outcome.OVERLOADED,
    "LEGACY_REFUSED": Outcome.REFUSED,
}


def judge(
    conditions: ResponseConditions | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    latency_s: float,
    *,
    is_whole: bool,
) -> CallResult:
    """Judge a response: by the conditions, if there are any, and what they leave by the rules.

    A condition must not take a part for the whole: if the body is not whole, some are not asked.
    The log then names these, and says why.

    Args:
        conditions: the conditions of the legacy.
        status: the HTTP status.
        headers: by lower-case names.
        body: the body, without a Content-Encoding.
        latency_s: how long the call took.
        is_whole: whether all of the body has arrived, was short enough to be kept, and could be
            decoded.
    """
    retry_after_s = requested_wait_s(headers, status, datetime.now(UTC))
    without_message: str | None = None
    not_asked: Sequence[str] = ()
    if conditions:
        result = conditions.judge(
            status, headers, body, latency_s, retry_after_s, is_whole=is_whole
        )
        if result is not None:
            return result
        if not is_whole:
            not_asked = conditions.need_whole_body
        if conditions.define_delivery:
            was_asked = "LEGACY_DELIVERED" not in not_asked
            without_message = (
                f"LEGACY_DELIVERED {'does not hold' if was_asked else 'was not asked'}"
            )
    result = judge_by_rules(
        status,
        body,
        latency_s,
        retry_after_s,
        is_problem=is_problem(headers.get("content-type", "")),
        without_message=without_message,
        text=decode_text(body, headers.get("content-type", "")),
    )
    if not_asked and result.log:
        log = f"Judged without {', '.join(not_asked)}, {_NOT_WHOLE}: {result.log}"
        return replace(result, log=log)
    return result
