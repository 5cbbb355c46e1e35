"""What is long takes time in proportion to its length, however it is written.

A thread that reads holds the interpreter: one request that takes ages would stop all others, and no
statement timeout ends it.
"""

import time
import tracemalloc
from collections.abc import Callable

import pytest

from chalicelib.errors import InvalidError
from chalicelib.odata.apply.handler import count as applied_count
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.batch import json_format, multipart
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.negotiation import preferred_page_size
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.parse_query import Limits, read_query
from chalicelib.odata.resource import read_resource
from chalicelib.strict_json import load_json
from tests.support.tokens import INTEGRATION

MOST = 100
# Each took 3 s or more where spaces, quotes or names were read again and again.
_LONG = 30_000
_SOON_S = 1.0


def parts_of(request_line: str, header: str = "A: b") -> list[object]:
    body = f"--b\r\nContent-Type: application/http\r\n{header}\r\n\r\n{request_line}\r\n\r\n--b--"
    return [*multipart.read_parts("multipart/mixed;boundary=b", body.encode(), MOST)]


def filtered(text: str) -> object:
    return read_query({"$filter": text}, POINT_RECORD, {}, Limits(Bounds(10_000, 100), 2))


NAMES = ",".join(f'"{n}":1' for n in range(_LONG))
GROUPS = ",".join(f'{{"id":"{n}","atomicityGroup":"g{n}"}}' for n in range(_LONG))
CHANGE_SETS = "".join(
    f"--b\nContent-Type: multipart/mixed;boundary=c{n}\n\n--c{n}--\n" for n in range(_LONG)
)

READINGS: dict[str, Callable[[], object]] = {
    "a preference with spaces": lambda: preferred_page_size({"prefer": f'a={" " * 8_000}"x"y'}),
    "a preference without a value": lambda: preferred_page_size({"prefer": f"a{' ' * 8_000}x"}),
    "quotes in a condition of case": lambda: filtered("case(10:20" + "''" * 1_000),
    "parentheses in a condition of case": lambda: filtered("case(10:20" + "(" * 1_000),
    "a request line with spaces": lambda: parts_of(f"GET x{' ' * _LONG}y z"),
    "a header with spaces": lambda: parts_of("GET x", f"A: b{' ' * _LONG}c"),
    "names of an object": lambda: load_json(f'{{{NAMES},"x":1,"x":1}}'.encode()),
    "groups of a batch": lambda: json_format.read_parts(
        f'{{"requests":[{GROUPS}]}}'.encode(), MOST
    ),
    "change sets of a batch": lambda: multipart.read_parts(
        "multipart/mixed;boundary=b", f"{CHANGE_SETS}--b--".encode(), MOST
    ),
}


@pytest.mark.parametrize("reading", READINGS)
def test_a_long_text_is_read_or_refused_soon(reading: str) -> None:
    started = time.process_time()
    try:
        READINGS[reading]()
    except InvalidError as error:
        assert error.message  # noqa: PT017 - most are refused, some are read
    assert time.process_time() - started < _SOON_S


def test_nothing_is_kept_of_long_texts() -> None:
    bounds = ApplyBounds(20, 100, Bounds(10_000, 100))
    tracemalloc.start()
    try:
        for number in range(20):
            text = f"deviceId eq '{number}{'x' * 500_000}'"
            filtered(text)
            options = Options({"$apply": f"filter({text})"}, {}, ())
            applied_count(read_resource(["PointRecords"], {}, INTEGRATION), options, bounds)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10_000_000


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("GET PointRecords", "PointRecords"),
        ("GET  PointRecords  HTTP/1.1  ", "PointRecords"),
        ("GET a b", "a b"),
        ("GET a  b HTTP/1.1", "a  b"),
        ("GET a HTTP/1.1 b", "a HTTP/1.1 b"),
        ("GET HTTP/1.1", "HTTP/1.1"),
    ],
)
def test_a_request_line_ends_in_its_version_or_without(line: str, url: str) -> None:
    (part,) = multipart.read_parts(
        "multipart/mixed;boundary=b",
        f"--b\nContent-Type: application/http\n\n{line}\nX:  a b \t\n\n--b--".encode(),
        MOST,
    )
    assert (part.url, part.headers) == (url, {"x": "a b"})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("maxpagesize=5", 5),
        (' odata.maxpagesize = "5" ; x=1', 5),
        ('a;b, maxpagesize= 5 ,c="d,e"', 5),
        ('maxpagesize="5', None),
        ("maxpagesize=5 6", None),
        ("maxpagesize", None),
        ('maxpagesize=""', None),
    ],
)
def test_a_preference_is_a_name_and_a_value(text: str, size: int | None) -> None:
    found = preferred_page_size({"prefer": text})
    assert (found.size if found else None) == size
