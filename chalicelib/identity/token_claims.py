"""Turn the claims of a verified token into a principal. The settings name the claims.

A claim name is matched as a whole first (``cognito:groups``, ``https://punch.example/role``). If no
claim has this name, it is a path with dots (``realm_access.roles``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import ForbiddenError
from chalicelib.point_record import MAX_INT64, MAX_SUBJECT_LENGTH
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

_ID = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """The names of the claims, and the issuer's name for each role.

    Attributes:
        role: the claim that has the role or roles.
        employer: the claim that has the employer's id.
        employee: the claim that has the employee's id.
        roles: the issuer's name for each role, from the most to the least powerful. If a token has
            several of them, the first one counts.
    """

    role: str
    employer: str
    employee: str
    roles: tuple[tuple[str, Role], ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> "ClaimNames":
        """Take the names from the settings of the stage."""
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
    """Return the principal that the claims of a verified token describe.

    Raises:
        ForbiddenError: the claims have no role of this service, or lack an id that the role needs.
    """
    roles = _words(_claim(claims, names.role))
    role = next((role for name, role in names.roles if name in roles), None)
    if role is None:
        raise ForbiddenError(f"The claim {names.role} of the token names no role of this service.")
    employer = employee = None
    if role is not Role.INTEGRATION:
        employer = _id(claims, names.employer, role)
    if role is Role.EMPLOYEE:
        employee = _id(claims, names.employee, role)
    return Principal(role, employer, employee, str(claims.get("sub", ""))[:MAX_SUBJECT_LENGTH])


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Return the value of a claim, by its name or by a path with dots; None without one."""
    if name in claims:
        return claims[name]
    value: object = claims
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _words(value: object) -> frozenset[str]:
    """Return the words of a claim: a string of words separated by spaces, or a list of strings.

    Only U+0020 separates words (RFC 6749, section 3.3). At any other white space a name that users
    may choose, such as that of a group, could contain the name of a role.
    """
    if isinstance(value, str):
        return frozenset(filter(None, value.split(" ")))
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()


def _id(claims: Mapping[str, Any], name: str, role: Role) -> int:
    """Return the id that a claim has, as a number or as its digits.

    Raises:
        ForbiddenError: the claim is missing or is not an id.
    """
    value = _claim(claims, name)
    if isinstance(value, list) and len(value) == 1:
        (value,) = value  # some issuers write every attribute as a list
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 1 <= value <= MAX_INT64:
        raise ForbiddenError(f"The token of an {role} must have an id in the claim {name}.")
    return value
