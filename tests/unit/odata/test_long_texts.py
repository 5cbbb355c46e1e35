"""Parsing takes time in proportion to the length of the text, whatever the text.

A parsing thread holds the interpreter lock: one slow request would stop all others, and no
statement timeout ends it.
"""

import time
import tracemalloc
from collections.abc import Callable

import pytest

from chalicelib.errors import InvalidError
from chalicelib.odata.apply.handler import count_statement
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.batch import json_format, multipart
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.negotiation import preferred_page_size
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.parse_query import QueryLimits, parse_query
from chalicelib.odata.resource import read_resource
from chalicelib.strict_json import load_json
from tests.support.tokens import INTEGRATION

MAX_PARTS = 100
# A parser of quadratic time needs 12 s or more for each case. A linear one needs far less than the
# bound, even while coverage is measured.
_LONG = 60_000
_MAX_CPU_S = 11.0


def parts_of(request_line: str, header: str = "A: b") -> list[object]:
    body = f"--b\r\nContent-Type: application/http\r\n{header}\r\n\r\n{request_line}\r\n\r\n--b--"
    return [*multipart.parse_requests("multipart/mixed;boundary=b", body.encode(), MAX_PARTS)]


def filtered(text: str) -> object:
    return parse_query(
        {"$filter": text}, POINT_RECORD, {}, QueryLimits(Bounds(10_000, 100), 10_000, 2)
    )


NAMES = ",".join(f'"{n}":1' for n in range(_LONG))
GROUPS = ",".join(f'{{"id":"{n}","atomicityGroup":"g{n}"}}' for n in range(_LONG))
CHANGE_SETS = "".join(
    f"--b\nContent-Type: multipart/mixed;boundary=c{n}\n\n--c{n}--\n" for n in range(_LONG)
)

PARSERS: dict[str, Callable[[], object]] = {
    "a preference with spaces": lambda: preferred_page_size({"prefer": f'a={" " * 8_000}"x"y'}),
    "a preference without a value": lambda: preferred_page_size({"prefer": f"a{' ' * 8_000}x"}),
    "quotes in a condition of case": lambda: filtered("case(10:20" + "''" * 1_000),
    "parentheses in a condition of case": lambda: filtered("case(10:20" + "(" * 1_000),
    "commas of a span": lambda: Span.of("," * 10 * _LONG, "$select").split(","),
    "parentheses of a span": lambda: Span.of("(" * 5 * _LONG + ")" * 5 * _LONG, "$x").split(","),
    "unmatched brackets of a span": lambda: Span.of("[)" * 5 * _LONG, "$x").split(","),
    "quotes of a span": lambda: Span.of("'" * (10 * _LONG + 1), "$x").split(","),
    "a request line with spaces": lambda: parts_of(f"GET x{' ' * _LONG}y z"),
    "a header with spaces": lambda: parts_of("GET x", f"A: b{' ' * _LONG}c"),
    "names of an object": lambda: load_json(f'{{{NAMES},"x":1,"x":1}}'.encode()),
    "groups of a batch": lambda: json_format.parse_requests(
        f'{{"requests":[{GROUPS}]}}'.encode(), MAX_PARTS
    ),
    "change sets of a batch": lambda: multipart.parse_requests(
        "multipart/mixed;boundary=b", f"{CHANGE_SETS}--b--".encode(), MAX_PARTS
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PARSERS)
def test_long_text_is_parsed_or_rejected_in_bounded_time(case: str) -> None:
    started = time.process_time()
    try:
        PARSERS[case]()
    except InvalidError as error:
        assert error.message  # noqa: PT017 - most are rejected, some are valid
    assert time.process_time() - started < _MAX_CPU_S


def test_long_texts_do_not_stay_in_memory() -> None:
    bounds = ApplyBounds(20, 100, Bounds(10_000, 100))
    tracemalloc.start()
    try:
        for number in range(20):
            text = f"deviceId eq '{number}{'x' * 500_000}'"
            filtered(text)
            options = Options({"$apply": f"filter({text})"}, {}, ())
            count_statement(read_resource(["PointRecords"], {}, INTEGRATION), options, bounds)
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
def test_request_line_may_omit_the_http_version(line: str, url: str) -> None:
    (part,) = multipart.parse_requests(
        "multipart/mixed;boundary=b",
        f"--b\nContent-Type: application/http\n\n{line}\nX:  a b \t\n\n--b--".encode(),
        MAX_PARTS,
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
def test_preferred_page_size_is_parsed(text: str, size: int | None) -> None:
    preferred = preferred_page_size({"prefer": text})
    assert (preferred.size if preferred else None) == size
