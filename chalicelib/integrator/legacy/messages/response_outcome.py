"""Judge a response: by the operator's conditions first, then by the rules of ``outcome``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.integrator.legacy.messages.media_type import decode_text, is_problem
from chalicelib.integrator.legacy.messages.retry_after import requested_wait_s
from chalicelib.integrator.outcome import CallResult, Outcome, judge_by_rules

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions

_NOT_ASKED = "Judged without the conditions, since the body is cut, too long or not decodable:"
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
    """Judge a response: by the conditions, if there are any and the body is whole, or by the rules.

    A condition must not take a part for the whole: "no error in it" holds for many a part, and for
    what nobody can read. The log then says why the conditions were not asked.

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
    if conditions and is_whole:
        result = conditions.judge(status, headers, body, latency_s, retry_after_s)
        if result is not None:
            return result
    result = judge_by_rules(
        status,
        body,
        latency_s,
        retry_after_s,
        is_problem=is_problem(headers.get("content-type", "")),
        needs_message=conditions is not None and conditions.define_delivery,
        text=decode_text(body, headers.get("content-type", "")),
    )
    if conditions and not is_whole and result.log:
        return replace(result, log=f"{_NOT_ASKED} {result.log}")
    return result
