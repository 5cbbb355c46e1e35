"""Wire the integrator: the legacy as the settings describe it, and a run.

``container`` builds the stores. Only the schedule ``integrate`` and the command ``legacy-check``
import this module, and libcurl with it.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from chalicelib import container, telemetry
from chalicelib.errors import MisconfiguredError, UnavailableError
from chalicelib.integrator import limiter
from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.database_worker import DatabaseWorker
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages import request_format
from chalicelib.integrator.legacy.messages.response_outcome import OUTCOME_OF_CONDITION
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run import Run
from chalicelib.postgres.claims import Claims
from chalicelib.settings import SettingsError

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authentication.shared_credentials import SharedCredentials
    from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions

# The settings that describe requests to the legacy, and its responses. Each may be a reference.
_REQUEST = ("legacy_url", "legacy_body", "legacy_headers")
_CONDITIONS = tuple(map(str.lower, OUTCOME_OF_CONDITION))


def integrator_run() -> Run:
    """Build a run of the integrator, a new one at each call.

    Raises:
        MisconfiguredError: a setting is invalid. The message names it, the place and the reason.
    """
    config = container.settings()
    endpoint = legacy_endpoint()
    if endpoint.credentials:
        endpoint.credentials.prepare()  # a token comes while the run claims its first records
    call_pool = CallPool(endpoint)
    return Run(
        Claims(
            container.database(),
            run_lease_s=config.run_lease_s,
            record_lease_s=config.record_lease_s,
            is_journaled=bool(config.journal),
        ),
        call_pool,
        DatabaseWorker(call_pool.wake),
        limiter.from_settings(config),
        RetryPolicy.from_settings(config),
        limit_policy=config.limit_policy,
        settle_interval_s=config.settle_interval_s,
        settle_batch=config.settle_batch,
        rng=random.Random(),  # noqa: S311 - jitter
    )


def legacy_endpoint() -> LegacyEndpoint:
    """Build what the integrator must know of the legacy, and try it with a sample record.

    Raises:
        MisconfiguredError: a setting is invalid. The message names it, the place and the reason.
    """
    config = container.settings()
    values = _described()
    resolved = values.__getitem__
    try:
        return LegacyEndpoint(
            resolved("legacy_url"),
            connect_timeout_s=config.legacy_connect_timeout_s,
            read_timeout_s=config.legacy_read_timeout_s,
            call_timeout_s=config.legacy_call_timeout_s,
            keep_alive_s=config.legacy_keep_alive_s,
            request=request_format.read(config, resolved),
            conditions=_response_conditions(resolved),
            credentials=legacy_credentials(),
        )
    except SettingsError as error:
        raise MisconfiguredError(str(error)) from error


def _described() -> dict[str, str]:
    """Read the settings of requests and responses, and their references, again for each run.

    So a correction needs no deployment. If a reference cannot be read now, the last values stay in
    use.

    Raises:
        MisconfiguredError: a reference cannot be read, and a retry would not help.
        UnavailableError: a reference cannot be read now, and was never read before.
    """
    last = _last_described()
    try:
        last |= container.read_settings([*_REQUEST, *_CONDITIONS])
    except UnavailableError as error:
        if not last:
            raise
        telemetry.event(
            "the description of the legacy cannot be read again",
            level=logging.WARNING,
            reason=error.message,
            cause=error.__cause__,
        )
    return last


@cache
def _last_described() -> dict[str, str]:
    return {}


def _response_conditions(resolved: Callable[[str], str]) -> ResponseConditions | None:
    """Read the conditions on responses; without any, JMESPath is not imported.

    Raises:
        SettingsError: a condition is invalid.
    """
    if not any(map(resolved, _CONDITIONS)):
        return None
    from chalicelib.integrator.legacy.messages import response_conditions

    return response_conditions.read(resolved)


@cache
def legacy_credentials() -> SharedCredentials | None:
    """Build the credentials of the calls to the legacy; None if it asks for none.

    Raises:
        MisconfiguredError: a reference cannot be read, and a retry would not help.
        SettingsError: a credential is invalid.
        UnavailableError: a reference cannot be read now.
    """
    config = container.settings()
    proxies = container.environment_proxies()
    if not (config.legacy_credentials or any("@" in each for each in proxies)):
        return None
    from chalicelib.integrator.legacy.authentication.shared_credentials import SharedCredentials

    return SharedCredentials(config, container.read_settings, environment_proxies=proxies)
