"""The limiter: how many calls to the legacy may be in flight, learned from how it answers."""

from chalicelib.integrator.limiter.policies import POLICIES, adaptive, classic, from_settings

__all__ = ["POLICIES", "adaptive", "classic", "from_settings"]
