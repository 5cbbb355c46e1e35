"""Secrets are removed from texts, however a server writes them."""

import html
import json
import time
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.redaction import Redactor

SECRET = 'pä"ss/w&rd + 7'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        html.escape(SECRET),
        b64encode(SECRET.encode()).decode(),
    ],
)
def test_encoded_secret_is_removed(form: str) -> None:
    assert Redactor([SECRET])(f"HTTP 400: you sent {form}, twice: {form}.") == (
        "HTTP 400: you sent [secret], twice: [secret]."
    )


@given(st.integers(min_value=4, max_value=9))
def test_start_of_a_secret_that_is_cut_off_is_removed(length: int) -> None:
    text = f"HTTP 400: hush {'hush-hush'[:length]}"
    assert "hush-" not in Redactor(["hush-hush"])(text)
    assert Redactor(["hush-hush"])(text).endswith("[secret]")


def test_longer_secret_wins_over_one_that_it_contains() -> None:
    assert Redactor(["pass", "pass-word"])("a pass-word and a pass") == "a [secret] and a [secret]"


def test_secret_that_is_part_of_the_replacement_is_replaced_once() -> None:
    assert Redactor(["secret-1", "secret"])("a secret-1, a secret") == "a [secret], a [secret]"


def test_long_token_takes_no_time_in_which_calls_wait() -> None:
    token = "eyJ." * 15_000
    started = time.process_time()
    redact = Redactor([token])
    assert redact(f"you sent {token}") == "you sent [secret]"
    assert time.process_time() - started < 0.3  # as a pattern, a second


def test_secret_of_three_characters_stays() -> None:
    assert Redactor(["401", ""])("HTTP 401: no") == "HTTP 401: no"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'Digest username="ann", response="{"0a" * 16}", nc=1',
            'username="ann", response="[secret]", nc=1',
        ),
        (f"Authorization: NTLM {'TlRM' * 20}==", "Authorization: NTLM [secret]"),
        (f'{{"authorization": "Negotiate {"YII" * 20}"}}', '"Negotiate [secret]"}'),
    ],
)
def test_proof_of_a_password_is_removed(text: str, expected: str) -> None:
    assert expected in Redactor([])(text)


@given(st.text(), st.text(min_size=4))
def test_no_text_contains_the_secret_afterwards(text: str, secret: str) -> None:
    assert secret not in Redactor([secret])(f"{text}{secret}{text}").replace("[secret]", "")
