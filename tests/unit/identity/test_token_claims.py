"""Claims of a token to its principal, under the names that real issuers use."""

from typing import Any

import pytest

from chalicelib.errors import ForbiddenError
from chalicelib.identity.token_claims import ClaimNames, principal_of
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings


@pytest.mark.parametrize(
    ("claims", "settings", "principal"),
    [
        ({"role": "employee", "employerId": 1, "employeeId": "2"}, {},
         Principal(Role.EMPLOYEE, 1, 2)),
        ({"role": "integration", "employerId": 1}, {}, Principal(Role.INTEGRATION)),
        # Cognito: groups, and custom attributes, which are strings.
        ({"cognito:groups": ["staff", "employer"], "custom:employer_id": "121"},
         {"jwt_role_claim": "cognito:groups", "jwt_employer_claim": "custom:employer_id"},
         Principal(Role.EMPLOYER, 121)),
        # Keycloak: realm roles, and attributes that may be lists.
        ({"realm_access": {"roles": ["offline_access", "punch-employee"]},
          "punch": {"employer": ["121"], "employee": 7}},
         {"jwt_role_claim": "realm_access.roles", "jwt_employee_role": "punch-employee",
          "jwt_employer_claim": "punch.employer", "jwt_employee_claim": "punch.employee"},
         Principal(Role.EMPLOYEE, 121, 7)),
        # Auth0: the names of custom claims are URLs.
        ({"https://punch.example/role": "employer", "https://punch.example/employer": 121},
         {"jwt_role_claim": "https://punch.example/role",
          "jwt_employer_claim": "https://punch.example/employer"},
         Principal(Role.EMPLOYER, 121)),
        # OAuth: scopes, separated by spaces.
        ({"scope": "openid integration"}, {"jwt_role_claim": "scope"},
         Principal(Role.INTEGRATION)),
        ({"role": ["employee", "employer"], "employerId": 1, "employeeId": 2}, {},
         Principal(Role.EMPLOYER, 1)),
        ({"role": "employer", "employerId": 2**63 - 1}, {},
         Principal(Role.EMPLOYER, 2**63 - 1)),
    ],
    ids=str,
)  # fmt: skip
def test_claims_give_the_principal(
    claims: dict[str, Any], settings: dict[str, Any], principal: Principal
) -> None:
    assert principal_of(claims, ClaimNames.from_settings(Settings(**settings))) == principal


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"role": "admin"},
        {"role": "Employer", "employerId": 1},
        {"role": None},
        {"role": {"employer": True}, "employerId": 1},
        {"role": [["employer"]], "employerId": 1},
        {"role": "employer"},
        # White space other than a space separates no words: users may choose the rest.
        *({"role": f"staff{space}integration"} for space in "\u00a0\u2003\u3000\t\n\x1c\x85"),
        {"role": "employee", "employerId": 1},
        {"role": "employee", "employeeId": 1},
        *(
            {"role": "employer", "employerId": value}
            for value in (0, -1, 1.0, True, 2**63, "0", "01", "+1", "1 ", "¹", "", None, [], [1, 2])
        ),
    ],
    ids=str,
)
def test_claims_without_a_role_or_its_ids_are_forbidden(claims: dict[str, Any]) -> None:
    with pytest.raises(ForbiddenError):
        principal_of(claims, ClaimNames.from_settings(Settings()))
