"""The limit: how many calls to the legacy may be open at once, learned from how it answers.

Arithmetic only: time comes from the ``clock`` handed in, and nothing here waits or counts calls for
others. The integrator asks ``limit`` and ``not_before`` before each call and tells each start and
each result; what the limiter has learned goes from run to run through ``snapshot`` and ``restore``.
"""

from collections.abc import Callable

from chalicelib.integrator.limit.adaptive import Adaptive
from chalicelib.integrator.limit.classic import Classic
from chalicelib.integrator.limit.evolved import deployed
from chalicelib.integrator.limit.parameters import Parameters
from chalicelib.integrator.limit.protocol import Clock, Limiter
from chalicelib.integrator.limit.windowed import Windowed, WindowedParameters

BY_HAND = Parameters()


def classic(clock: Clock, *, most: float = 1_000.0) -> Classic:
    """Make the classic rule, starting at a limit of 6."""
    return Classic(clock, most=most)


def adaptive(clock: Clock, *, most: float = 1_000.0, parameters: Parameters = BY_HAND) -> Adaptive:
    """Make the limit that learns; its parameters are tuned by hand unless others are given."""
    return Adaptive(clock, most=most, parameters=parameters)


def evolved(
    clock: Clock, *, most: float = 1_000.0, parameters: Parameters | None = None
) -> Adaptive:
    """Make the limit that learns; its parameters are the evolved ones unless others are given."""
    return Adaptive(clock, most=most, parameters=parameters or deployed("evolved"))


def windowed(
    clock: Clock, *, most: float = 1_000.0, parameters: WindowedParameters | None = None
) -> Windowed:
    """Make the classic rule judged by window; its numbers are evolved, likewise."""
    return Windowed(clock, most=most, parameters=parameters or deployed("windowed"))


POLICIES: dict[str, Callable[..., Limiter]] = {
    "adaptive": adaptive,
    "classic": classic,
    "evolved": evolved,
    "windowed": windowed,
}
