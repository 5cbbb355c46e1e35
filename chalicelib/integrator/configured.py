"""The limiter that a stage's settings ask for."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chalicelib.integrator.limit import evolved
from chalicelib.integrator.limit.protocol import Clock, Limiter
from chalicelib.integrator.limit.trials import Trials
from chalicelib.integrator.limiter import POLICIES
from chalicelib.settings import Settings


def limiter(settings: Settings, chance: random.Random) -> Callable[[Clock], Limiter]:
    """Return what makes the limiter, given a clock.

    Args:
        settings: of the stage.
        chance: draws the numbers that are tried.

    Raises:
        SettingsError: the parameter file does not fit.
    """
    policy = settings.limit_policy
    make = partial(POLICIES[policy], most=settings.limit_max)
    if policy not in evolved.EVOLVED:
        return make
    if settings.limit_parameters:
        parameters = evolved.load(policy, Path(settings.limit_parameters))
    else:
        parameters = evolved.deployed(policy)
    if not settings.limit_trials:
        return partial(make, parameters=parameters)
    return lambda clock: Trials(
        clock,
        lambda in_use: make(clock, parameters=in_use),
        parameters,
        policy,
        share=settings.limit_trials,
        chance=chance,
    )
