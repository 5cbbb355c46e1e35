"""The two policies, by their names in ``LIMIT_POLICY``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from chalicelib.integrator.limiter import parameter_file
from chalicelib.integrator.limiter.adaptive_limiter import AdaptiveLimiter
from chalicelib.integrator.limiter.mimd import ClassicLimiter
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.limiter.protocol import Clock, Limiter
from chalicelib.settings import Settings

_DEFAULTS = Parameters()


def classic(clock: Clock, *, max_limit: float = 1_000.0) -> ClassicLimiter:
    """Make a limiter of the policy ``classic``."""
    return ClassicLimiter(clock, max_limit=max_limit)


def adaptive(
    clock: Clock, *, max_limit: float = 1_000.0, parameters: Parameters = _DEFAULTS
) -> AdaptiveLimiter:
    """Make a limiter of the policy ``adaptive``."""
    return AdaptiveLimiter(clock, max_limit=max_limit, parameters=parameters)


POLICIES: dict[str, Callable[..., Limiter]] = {"adaptive": adaptive, "classic": classic}


def from_settings(settings: Settings) -> Callable[[Clock], Limiter]:
    """Return a factory that makes the configured limiter, given a clock.

    Raises:
        SettingsError: the parameter file cannot be read or is invalid.
    """
    make = partial(POLICIES[settings.limit_policy], max_limit=settings.limit_max)
    if not settings.limit_parameters:
        return make
    return partial(make, parameters=parameter_file.load(Path(settings.limit_parameters)))
