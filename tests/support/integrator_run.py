"""A run of the integrator: real threads, sockets and limiter, but no Postgres."""

import random

from bench.integration_cpu import NoDatabase
from chalicelib.integrator import limiter
from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.database_worker import DatabaseWorker
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run import Run
from chalicelib.integrator.run_stats import RunStats
from chalicelib.settings import Settings


def run(url: str, records: int, **settings: float) -> RunStats:
    """Send records to a legacy for two minutes at most, with the adaptive limit from cold."""
    config = Settings(**settings)  # type: ignore[arg-type]
    pool = CallPool(
        LegacyEndpoint(
            url,
            config.legacy_connect_timeout_s,
            config.legacy_read_timeout_s,
            config.legacy_call_timeout_s,
            keep_alive_s=config.legacy_keep_alive_s,
        )
    )
    stats = Run(
        NoDatabase(records),  # type: ignore[arg-type]
        pool,
        DatabaseWorker(pool.wake),
        limiter.from_settings(config),
        RetryPolicy.from_settings(config),
        limit_policy=config.limit_policy,
        settle_interval_s=config.settle_interval_s,
        settle_batch=config.settle_batch,
        rng=random.Random(0),
    ).run(lambda: 120.0)
    assert stats is not None
    return stats
