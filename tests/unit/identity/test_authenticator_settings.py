"""The authenticator that the settings of a stage give, and the messages if a setting is wrong."""

from typing import Any

import pytest

from chalicelib.errors import MisconfiguredError
from chalicelib.identity.factory import authenticator
from chalicelib.settings import Settings

SECRET = "s" * 32
JWKS = {"jwks_url": "https://issuer.example/jwks"}
FULL = JWKS | {"jwt_issuer": "https://issuer.example/", "jwt_audience": "punch"}


@pytest.mark.parametrize(
    ("settings", "key", "message"),
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
        ({"jwt_integration_role": "employer"}, SECRET, "three different names"),
        ({"jwt_employer_role": "employee"}, SECRET, "three different names"),
        ({"jwt_integration_role": ""}, SECRET, "three different names"),
        ({**FULL, "jwt_integration_role": " "}, "", "three different names"),
    ],
    ids=str,
)
def test_wrong_setting_is_named_and_no_key_is_quoted(
    settings: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(MisconfiguredError, match=message) as rejected:
        authenticator(Settings(**settings), key)
    assert key not in str(rejected.value) or not key


@pytest.mark.parametrize(
    ("settings", "key"),
    [({}, SECRET), (FULL, ""), ({**FULL, "jwks_url": "http://127.0.0.1:9/jwks"}, "")],
    ids=["shared key", "JWKS over https", "JWKS on loopback"],
)
def test_stage_with_one_kind_of_keys_gets_an_authenticator(
    settings: dict[str, Any], key: str
) -> None:
    assert authenticator(Settings(**settings), key)
