"""How many random examples the properties of OData draw: ``make soak`` draws more than CI."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("ODATA_EXAMPLES", "200"))
# The examples share the fixtures of a function, and one may take long on a busy machine.
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
