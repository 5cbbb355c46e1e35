"""The two policies of the limit, by the names that ``LIMIT_POLICY`` gives them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from chalicelib.integrator.limiter import parameter_file
from chalicelib.integrator.limiter.adaptive_limiter import Adaptive
from chalicelib.integrator.limiter.mimd import Classic
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.limiter.protocol import Clock, Limiter
from chalicelib.settings import Settings

_DEFAULTS = Parameters()


def classic(clock: Clock, *, most: float = 1_000.0) -> Classic:
    """Make a limiter that follows the project's founding rule, from a limit of 6."""
    return Classic(clock, most=most)


def adaptive(
    clock: Clock, *, most: float = 1_000.0, parameters: Parameters = _DEFAULTS
) -> Adaptive:
    """Make a limiter that finds the limit from latency, failures and refusals."""
    return Adaptive(clock, most=most, parameters=parameters)


POLICIES: dict[str, Callable[..., Limiter]] = {"adaptive": adaptive, "classic": classic}


def from_settings(settings: Settings) -> Callable[[Clock], Limiter]:
    """Return the function that makes the stage's limiter, given a clock.

    Raises:
        SettingsError: the parameter file cannot be read or does not fit.
    """
    make = partial(POLICIES[settings.limit_policy], most=settings.limit_max)
    if not settings.limit_parameters:
        return make
    return partial(make, parameters=parameter_file.load(Path(settings.limit_parameters)))
