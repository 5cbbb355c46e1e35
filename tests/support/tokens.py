"""The key of the service under test, and tokens that the service accepts."""

from typing import Any

from chalicelib.principal import Principal, Role
from local.tokens import make_token

KEY = "the key of the service under test"


def authorization(
    role: Role = Role.INTEGRATION, employer_id: int | None = None, employee_id: int | None = None
) -> dict[str, str]:
    """Return an Authorization header; by default the operator's, who may do everything."""
    token = make_token(KEY, role, employer_id, employee_id, lasts_s=86_400)
    return {"Authorization": f"Bearer {token}"}


def operator_event(**members: Any) -> dict[str, Any]:
    """Return the event with which the operator ``ada`` invokes a function."""
    token = make_token(KEY, Role.INTEGRATION, lasts_s=86_400, subject="ada")
    return {"token": token, **members}


# The principal of an operator, for code that takes no token.
INTEGRATION = Principal(Role.INTEGRATION)
OPERATOR = authorization()
