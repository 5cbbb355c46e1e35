"""Strict JSON, and the messages for everything else."""

import pytest

from chalicelib.errors import MalformedError
from chalicelib.strict_json import load_json


def test_json_is_parsed_to_python_values() -> None:
    body = '{"a": [1, 2.5, "é", true, null], "b": {}}'.encode()
    assert load_json(body) == {"a": [1, 2.5, "é", True, None], "b": {}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON: .* at line 1 column 1"),
        (b'{"a":\n 1', "not JSON: .* at line 2 column 3"),
        (b'{"a": 1} x', "not JSON: .* at line 1 column 10"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"b": {"a": 1, "c": 2, "a": 2}}', "the key 'a' twice"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "a number that is out of range"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_body_that_is_not_strict_json_is_rejected_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        load_json(body)
