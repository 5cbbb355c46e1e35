"""The limiter decides how many calls to the legacy may be in flight. docs/limit.md explains it.

Start with ``adaptive_limiter``, then ``gradient``, whose head has the formula.

- ``protocol``: the interface of every limiter.
- ``policies``: the two policies, ``adaptive`` and ``classic``, and the one that is configured.
- ``adaptive_limiter``: joins the parts of the policy ``adaptive``.
- ``gradient``: the limit from latencies: slow start, steady state, probes.
- ``ceiling``: the highest limit after calls have failed for load.
- ``sample_window``: the calls from which it learns latencies.
- ``probe_evidence``: what probes show together.
- ``steepness``: how steeply latency rises with the limit.
- ``failure_detector``: what failures mean: load, noise or an outage.
- ``rate_estimator``: the rate of a legacy that refuses with Retry-After, and the pace below it.
- ``send_log``: the calls from which it learns rate and burst.
- ``refusal_scope``: whether a Retry-After concerns all calls, or only some.
- ``state``: the states of the adaptive limiter, and what it passes from run to run.
- ``parameters``: every number that decides its behaviour.
- ``parameter_file``: other numbers, read from a file.
- ``mimd``: the policy ``classic``, the project's first rule.
"""

from chalicelib.integrator.limiter.policies import POLICIES, adaptive, classic, from_settings

__all__ = ["POLICIES", "adaptive", "classic", "from_settings"]
