"""Signatures: AWS's published test vectors, and equality with botocore."""

from calendar import timegm
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.dynamodb.signature import Credentials, Signer, signing_key

# AWS's signing test suite: the vectors of a POST to / without a query. Those that are left out,
# post-header-key-case and post-sts-header-after, are the same as post-vanilla for a signer.
# https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
AT = timegm((2015, 8, 30, 12, 36, 0))
HOST = {"host": "example.amazonaws.com"}
FORM = "application/x-www-form-urlencoded"
FORM_HEADERS = {
    **HOST,
    "content-length": "13",
    "x-amz-content-sha256": "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
}
VECTORS: dict[str, tuple[str, dict[str, str], bytes, str]] = {
    "post-vanilla": (
        "",
        HOST,
        b"",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-key-sort": (
        "",
        {"my-header1": "value1", **HOST},
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        "",
        {"my-header1": "VALUE1", **HOST},
        b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-sts-header-before": (
        TOKEN,
        HOST,
        b"",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    "post-x-www-form-urlencoded": (
        "",
        {**FORM_HEADERS, "content-type": FORM},
        b"Param1=value1",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
    "post-x-www-form-urlencoded-parameters": (
        "",
        {**FORM_HEADERS, "content-type": f"{FORM}; charset=utf-8"},
        b"Param1=value1",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    ),
}


@pytest.mark.parametrize(("token", "headers", "body", "signature"), VECTORS.values(), ids=VECTORS)
def test_signature_is_that_of_the_published_vector(
    token: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    signed = Signer(Credentials(*KEYS, token), "us-east-1", "service").sign(headers, body, AT)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20150830T123600Z"


def test_signing_key_is_that_of_the_published_example() -> None:
    # https://docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html
    key = signing_key(KEYS[1], "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_text_of_credentials_has_no_secret() -> None:
    text = repr(Credentials(*KEYS, TOKEN))
    assert KEYS[1] not in text
    assert TOKEN not in text


def test_key_changes_with_the_day_and_back() -> None:
    signer = Signer(Credentials(*KEYS), "us-east-1", "service")
    first = signer.sign(HOST, b"", AT)
    second = signer.sign(HOST, b"", AT + 86_400)
    assert first["authorization"] != second["authorization"]
    fresh = Signer(Credentials(*KEYS), "us-east-1", "service")
    assert second == fresh.sign(HOST, b"", AT + 86_400)
    assert signer.sign(HOST, b"", AT) == first


VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
NAMES = st.from_regex(r"x-amz-[a-z]{1,8}", fullmatch=True).filter(
    lambda name: name not in ("x-amz-date", "x-amz-security-token")
)


@given(
    keys=st.tuples(VISIBLE, VISIBLE),
    token=st.one_of(st.just(""), VISIBLE),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
    headers=st.dictionaries(NAMES, VISIBLE, max_size=4),
    body=st.binary(max_size=200),
    at=st.integers(0, 4_000_000_000),
)
def test_signature_equals_that_of_botocore(
    keys: tuple[str, str], token: str, region: str, headers: dict[str, str], body: bytes, at: int
) -> None:
    to_sign = {"host": "dynamodb.example", "content-type": "application/x-amz-json-1.0", **headers}
    signed = Signer(Credentials(*keys, token), region, "dynamodb").sign(to_sign, body, at)
    theirs = signed_by_botocore(keys, token, region, to_sign, body, signed["x-amz-date"])
    assert signed["authorization"] == theirs["Authorization"]
    assert signed.get("x-amz-security-token") == theirs.get("X-Amz-Security-Token")


def signed_by_botocore(
    keys: tuple[str, str], token: str, region: str, headers: dict[str, str], body: bytes, date: str
) -> Any:
    """Return the headers that botocore sends for the same request at the same time."""
    auth = SigV4Auth(BotocoreCredentials(*keys, token or None), "dynamodb", region)
    request = AWSRequest("POST", "https://dynamodb.example/", dict(headers), body)
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Date"] = date
    request.context["timestamp"] = date
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    auth._inject_signature_to_request(request, signature)
    return request.headers
