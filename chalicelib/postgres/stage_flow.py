"""Describe what passed through Postgres in the last minute, and why something does not pass.

Each number reads an index, and a bounded part of it, so its cost does not grow with the table.
"""

import json
from typing import Any

from pg8000.native import Connection

# Describe the last minute, the last delivery, and the last failure.
#
# ``recent`` has the records that may have been accepted, replicated or delivered in the last
# minute: those whose last change is younger, and those that still wait, from the newest on.
#
# ``failing`` is a record that waits for a retry. ``failing_since`` is the first flush of a run
# after the last delivery, if any call has failed since.
_FLOW = """
WITH delivered AS (
    SELECT created_at, replicated_at, integrated_at FROM point_record
    WHERE status = 'INTEGRATED' AND integrated_at > now() - interval '1 minute'
    ORDER BY integrated_at DESC LIMIT CAST(:max_count AS integer)
), parked AS (
    SELECT id, created_at, replicated_at, updated_at FROM point_record
    WHERE status = 'REJECTED'
    ORDER BY updated_at DESC LIMIT CAST(:max_count AS integer)
), waiting AS (
    SELECT id, status, created_at, replicated_at, updated_at FROM point_record
    WHERE next_attempt_at IS NOT NULL
    ORDER BY next_attempt_at DESC LIMIT CAST(:max_count AS integer)
), recent AS (
    SELECT created_at, replicated_at FROM delivered
    UNION ALL
    SELECT created_at, replicated_at FROM parked WHERE updated_at > now() - interval '1 minute'
    UNION ALL
    SELECT created_at, replicated_at FROM waiting
), last_delivery AS (
    SELECT integrated_at FROM point_record WHERE status = 'INTEGRATED'
    ORDER BY integrated_at DESC LIMIT 1
), failing AS (
    SELECT id FROM waiting WHERE status = 'ERROR' ORDER BY updated_at DESC LIMIT 1
)
SELECT CAST(json_build_object(
    'lastMinute', json_build_object(
        'accepted', (SELECT count(*) FROM recent WHERE created_at > now() - interval '1 minute'),
        'replicated',
            (SELECT count(*) FROM recent WHERE replicated_at > now() - interval '1 minute'),
        'delivered', (SELECT count(*) FROM delivered)
    ),
    'lastDeliveredAt', (SELECT integrated_at FROM last_delivery),
    'failingSince', (
        SELECT min(at) FROM integration_run
        WHERE at > coalesce((SELECT integrated_at FROM last_delivery), '-infinity')
    ),
    'lastFailure', (
        SELECT json_build_object('at', created_at, 'httpStatus', http_status, 'log', log)
        FROM integration_log
        WHERE point_id = (SELECT id FROM failing) AND status = 'ERROR'
        ORDER BY created_at DESC LIMIT 1
    ),
    'lastParked', (
        SELECT json_build_object('at', created_at, 'httpStatus', http_status, 'log', log)
        FROM integration_log
        WHERE point_id = (SELECT id FROM parked ORDER BY updated_at DESC LIMIT 1)
          AND status = 'REJECTED'
        ORDER BY created_at DESC LIMIT 1
    )
) AS text)
"""


def describe_flow(connection: Connection, max_count: int) -> dict[str, Any]:
    """Return the numbers of the last minute, the last delivery, and the last failures.

    ``lastMinute`` has the records that were ``accepted`` (of those that are in Postgres),
    ``replicated`` and ``delivered``; each is exact if fewer than ``max_count`` records wait, and
    at least as high otherwise. ``failingSince`` is the first flush of failures after
    ``lastDeliveredAt``.
    ``lastFailure`` is of a record that waits for a retry, ``lastParked`` of the one parked last:
    ``at``, ``httpStatus`` and ``log``. Each is None without any.
    """
    ((text,),) = connection.run(_FLOW, max_count=max_count)
    flow: dict[str, Any] = json.loads(text)
    return flow
