"""From a token's claims to a principal, under whatever names the issuer writes them.

A name is that of a claim (``cognito:groups``, ``https://punch.example/role``), or where there is
none of that name a path with dots (``realm_access.roles``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import ForbiddenError
from chalicelib.point_record import MAX_INT64
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

_ID = re.compile(r"[1-9][0-9]{0,18}")
# https://openid.net/specs/openid-connect-core-1_0.html#IDToken
_LONGEST_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where in the claims the role and the ids are, and what the issuer calls each role.

    The roles are in order: a token that names several is taken for the one that may do most.
    """

    role: str
    employer: str
    employee: str
    roles: tuple[tuple[str, Role], ...]

    @classmethod
    def of(cls, settings: Settings) -> "ClaimNames":
        """Take the names that a stage has set."""
        return cls(
            settings.jwt_role_claim,
            settings.jwt_employer_claim,
            settings.jwt_employee_claim,
            (
                (settings.jwt_integration_role, Role.INTEGRATION),
                (settings.jwt_employer_role, Role.EMPLOYER),
                (settings.jwt_employee_role, Role.EMPLOYEE),
            ),
        )


def principal_of(claims: Mapping[str, Any], names: ClaimNames) -> Principal:
    """Return whom the claims of a token that was verified speak for.

    Raises:
        ForbiddenError: they name no role of ours, or lack an id that the role needs.
    """
    said = _texts(_claim(claims, names.role))
    role = next((role for name, role in names.roles if name in said), None)
    if role is None:
        raise ForbiddenError(f"The token names no role of this service in its {names.role}.")
    employer = employee = None
    if role is not Role.INTEGRATION:
        employer = _id(claims, names.employer, role)
    if role is Role.EMPLOYEE:
        employee = _id(claims, names.employee, role)
    return Principal(role, employer, employee, str(claims.get("sub", ""))[:_LONGEST_SUBJECT])


def _claim(claims: Mapping[str, Any], name: str) -> object:
    if name in claims:
        return claims[name]
    found: object = claims
    for step in name.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def _texts(value: object) -> frozenset[str]:
    """Return the words of a claim: a text of words with spaces between, or a list of texts."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()


def _id(claims: Mapping[str, Any], name: str, role: Role) -> int:
    value = _claim(claims, name)
    if isinstance(value, list) and len(value) == 1:
        (value,) = value  # as issuers write attributes that may have several values
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 1 <= value <= MAX_INT64:
        raise ForbiddenError(f"The token of an {role} needs an id in its {name}.")
    return value
