"""Count the records of each stage: exactly up to a bound, and beyond it by planner statistics.

The cost of a count does not grow with the table.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pg8000.native import Connection

# Count the records of each stage up to a bound.
#
# One snapshot sees each record in exactly one stage. A waiting record is AWAITING, INTEGRATING or
# ERROR. Each count reads its own index up to the bound, so its cost does not grow with the table.
# The first ids are those of the oldest months, whose rows the index alone counts.
_STAGES = """
WITH waiting AS (
    SELECT status, created_at FROM point_record
    WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT CAST(:max_count AS integer)
)
SELECT CAST(json_build_object(
    'accepted', (SELECT count(*) FROM
        (SELECT FROM point_record ORDER BY id LIMIT CAST(:max_count AS integer)) AS accepted),
    'delivered', (SELECT count(*) FROM
        (SELECT FROM point_record WHERE status = 'INTEGRATED'
         ORDER BY integrated_at DESC LIMIT CAST(:max_count AS integer)) AS delivered),
    'waiting', (SELECT coalesce(json_object_agg(status, depth), '{}') FROM
        (SELECT status, count(*) AS depth FROM waiting GROUP BY status) AS counted),
    'parked', (SELECT count(*) FROM
        (SELECT FROM point_record WHERE status = 'REJECTED'
         ORDER BY updated_at DESC LIMIT CAST(:max_count AS integer)) AS parked),
    'quarantined', (SELECT count(*) FROM
        (SELECT FROM quarantine LIMIT CAST(:max_count AS integer)) AS quarantined),
    'unpartitioned', (SELECT count(*) FROM
        (SELECT FROM point_record_default LIMIT CAST(:max_count AS integer)) AS unpartitioned),
    'oldestAgeSeconds', (SELECT round(extract(epoch FROM now() - min(created_at)), 1) FROM waiting)
) AS text)
"""

# Estimate the number of records, of each status, and of quarantined items, as the planner does: for
# each partition, the density of rows at the last ANALYZE times its present size, and the share that
# each status had at that time. Null if ANALYZE has not run yet.
_ESTIMATES = """
WITH size AS (
    SELECT pg_class.oid, nspname, relname, reltuples / NULLIF(relpages, 0)
        * pg_relation_size(pg_class.oid) / CAST(current_setting('block_size') AS integer)
        AS row_count
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = CAST('quarantine' AS regclass) OR pg_class.oid IN (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST('point_record' AS regclass)
    )
), partition AS (
    SELECT * FROM size WHERE oid <> CAST('quarantine' AS regclass)
), depth AS (
    SELECT status, sum(row_count * fraction) AS row_count
    FROM partition JOIN pg_stats
        ON (schemaname, tablename, attname) = (nspname, relname, name('status')),
        unnest(CAST(CAST(most_common_vals AS text) AS text[]), most_common_freqs)
            AS common (status, fraction)
    GROUP BY status
)
SELECT CAST(json_build_object(
    'accepted', (SELECT sum(row_count) FROM partition),
    'quarantined', (SELECT row_count FROM size WHERE oid = CAST('quarantine' AS regclass)),
    'depths', (SELECT coalesce(json_object_agg(status, row_count), '{}') FROM depth)
) AS text)
"""

_COUNTS = ("accepted", "delivered", "waiting", "parked", "quarantined")
_WAITING = ("AWAITING", "INTEGRATING", "ERROR")


def count_stages(connection: Connection, max_count: int) -> dict[str, Any]:
    """Return the number of records of each stage, and the age of the oldest waiting record.

    A number is exact below ``max_count``. Else it is an estimate by the statistics of the planner,
    at least ``max_count``, and is named in ``estimated``. Without an estimate, accepted = delivered
    + waiting + parked. The age is that of the oldest among the ``max_count`` records that are due
    first.
    """
    ((text,),) = connection.run(_STAGES, max_count=max_count)
    stages: dict[str, Any] = json.loads(text)
    totals = {**stages, "waiting": sum(stages["waiting"].values())}
    cut = [each for each in _COUNTS if totals[each] >= max_count]
    if cut:
        ((text,),) = connection.run(_ESTIMATES)
        stages |= _estimate(stages, cut, json.loads(text))
    return {**stages, "estimated": cut}


def _estimate(
    counted: Mapping[str, Any], names: Sequence[str], statistics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the estimates of the named counts, none of them below what was counted."""
    depths = statistics["depths"]
    by_name: dict[str, Any] = {
        "accepted": statistics["accepted"] or 0.0,
        "delivered": depths.get("INTEGRATED") or 0.0,
        "parked": depths.get("REJECTED") or 0.0,
        "quarantined": statistics["quarantined"] or 0.0,
    }
    estimates: dict[str, Any] = {
        name: max(counted[name], round(by_name[name])) for name in names if name in by_name
    }
    if "waiting" in names:
        waiting = {
            status: max(counted["waiting"].get(status, 0), round(depths.get(status) or 0.0))
            for status in _WAITING
        }
        estimates["waiting"] = {status: depth for status, depth in waiting.items() if depth}
    return estimates
