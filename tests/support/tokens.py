"""The key of the service under test, and tokens that it takes."""

from typing import Any

from chalicelib.principal import Principal, Role
from local.tokens import make_token

KEY = "the key of the service under test"


def authorization(
    role: Role = Role.INTEGRATION, employer_id: int | None = None, employee_id: int | None = None
) -> dict[str, str]:
    """Return the header of a request: the operator's, who may do all, unless told otherwise."""
    token = make_token(KEY, role, employer_id, employee_id, lasts_s=86_400)
    return {"Authorization": f"Bearer {token}"}


def operator_event(**members: Any) -> dict[str, Any]:
    """Return the event with which the operator Ada invokes a function."""
    token = make_token(KEY, Role.INTEGRATION, lasts_s=86_400, subject="ada")
    return {"token": token, **members}


# A principal who sees all, where no token says who.
INTEGRATION = Principal(Role.INTEGRATION)
OPERATOR = authorization()
