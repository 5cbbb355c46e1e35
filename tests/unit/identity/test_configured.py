"""Which keys a stage's settings ask for, and what they lack."""

from collections.abc import Callable

import pytest

from chalicelib.errors import (
    MisconfiguredError,
)
from chalicelib.identity.factory import authenticator
from chalicelib.settings import Settings

SECRET = "s" * 32
JWKS = {"jwks_url": "https://issuer.example/jwks"}
FULL = JWKS | {"jwt_issuer": "https://issuer.example/", "jwt_audience": "punch"}


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        ({}, "", "Set JWKS_URL"),
        ({}, "k" * 31, "32 bytes"),
        (FULL, SECRET, "both"),
        (JWKS, "", "JWT_ISSUER and JWT_AUDIENCE"),
        ({**FULL, "jwt_audience": " , "}, "", "JWT_ISSUER and JWT_AUDIENCE"),
        ({**FULL, "jwks_url": "http://issuer.example/jwks"}, "", "https"),
        ({**FULL, "jwks_url": "file:///etc/passwd"}, "", "https"),
        ({**FULL, "jwks_url": "issuer.example/jwks"}, "", "https"),
        ({**FULL, "jwks_url": "https:///jwks"}, "", "https"),
        ({**FULL, "jwks_url": "https://issuer.example:99999/jwks"}, "", "https"),
        ({**FULL, "jwks_url": "https://[::1/jwks"}, "", "https"),
        ({**FULL, "jwks_url": "https://ada:secret@issuer.example/jwks"}, "", "https"),
        ({**FULL, "jwks_url": "https://issuer.example/jwks set"}, "", "https"),
        ({"jwt_integration_role": "employer"}, SECRET, "three names"),
        ({"jwt_employer_role": "employee"}, SECRET, "three names"),
        ({"jwt_integration_role": ""}, SECRET, "three names"),
        ({**FULL, "jwt_integration_role": " "}, "", "three names"),
    ],
    ids=str,
)
def test_a_stage_without_right_keys_says_what_to_set(
    settings: dict[str, str], key: str, said: str
) -> None:
    with pytest.raises(MisconfiguredError, match=said) as refused:
        authenticator(Settings(**settings), key)
    assert key not in str(refused.value) or not key


@pytest.mark.parametrize("make", [dict, lambda: FULL, lambda: FULL | {
    "jwks_url": "http://127.0.0.1:9/jwks"}])  # fmt: skip
def test_a_stage_with_one_kind_of_keys_is_served(make: Callable[[], dict[str, str]]) -> None:
    settings = make()
    assert authenticator(Settings(**settings), "" if settings else SECRET)
