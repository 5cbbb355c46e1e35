"""Hypothesis strategies for requests to the OData routes, from almost valid to nonsense."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.support.odata.strategies.expressions import conditions
from tests.support.service import PUNCH, punch

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
_OPTIONS = [
    "$filter", "$orderby", "$select", "$expand", "$apply", "$compute", "$search", "$top", "$skip",
    "$count", "$format", "$skiptoken", "$deltatoken", "$schemaversion", "$id", "$index", "$levels",
    "filter", "TOP", "@a", "@b", "custom",
]  # fmt: skip
_HEADERS = [
    "Accept", "Prefer", "OData-Version", "OData-MaxVersion", "If-Match", "If-None-Match",
    "Content-Type", "Isolation", "X-CSRF-Token", "Host",
]  # fmt: skip
_HEADER_VALUES = [
    "*/*", "application/json", "application/xml", "application/json;odata.metadata=full",
    "application/json;IEEE754Compatible=true", "text/plain", "multipart/mixed", "multipart/mixed;b",
    "multipart/mixed; boundary=b", "application/json;q=x", ";", ",", '"', 'W/"x"', "*", "4.0",
    "4.01", "9999.9", "-1", "return=minimal", "return=", "odata.maxpagesize=2",
    "maxpagesize=99999999999", 'a="b,c";d', "continue-on-error", "snapshot", "Fetch",
]  # fmt: skip
_SEGMENTS = [
    "PointRecords", "IntegrationLogs", "IntegrationRuns", "logs", "point",
    "IntegrationLogs(pointId=00000000-0000-8000-8000-000000000000,number=1)",
    "status", "includedAt", "latitude", "$value", "$count", "$ref", "$metadata", "$batch", "$query",
    "$entity", "$all", "$crossjoin(PointRecords)", "$filter(true)", "$each", "(", ")", "'", "%",
    "%2F", "", "..", "PointRecords(@a)", "PointRecords(id=@a)", f"PointRecords({UNKNOWN_ID})",
]  # fmt: skip
_FRAGMENTS = [
    "status", "id", "attempts", "latitude", "deviceId", "logs", "point", "includedAt", "$it",
    "$this", "@a", "@b", " eq ", " ne ", " gt ", " in ", " and ", " or ", "not ", " add ", " div ",
    "-", "(", ")", ",", "/", ":", ";", "'", "''", "'x'", "1", "0", "1.5", "1e5", "null", "true",
    "any(", "l:", "$count", "/$filter(", "[", "]", "{", '"', "contains(", "length(", "year(",
    "cast(", "case(", "Edm.String", " asc", " desc", " ", "\t", "\n", "9" * 30, "\\", "%",
    UNKNOWN_ID, "2026-01-01T00:00:00Z", "é", "\U0001f600", "INF", "NaN", "now()", "*", "$ref",
    "$levels=max", "$filter=", "$select=", "$expand=", "$orderby=", "$top=", "$count=true", " as x",
    "filter(", "groupby(", "aggregate(", "compute(", "topcount(", "identity", " with sum as s",
    " with max as m", "concat(", "word", " AND ", " OR ", "NOT ", '"two words"',
]  # fmt: skip

words = st.lists(st.sampled_from(_FRAGMENTS), max_size=14).map("".join)
_values = words | st.text(max_size=30) | conditions("Record").map(lambda term: term.text)
_line = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)

headers = st.dictionaries(
    st.sampled_from(_HEADERS), st.sampled_from(_HEADER_VALUES) | _line, max_size=3
)


def _quoted(value: str) -> str:
    return quote(value, "'(),/$@:=", errors="replace")


_pairs = st.lists(st.tuples(st.sampled_from(_OPTIONS) | st.text(max_size=6), _values), max_size=4)
# A query string: of options, or of any characters that a request line can contain.
queries = _pairs.map(
    lambda pairs: "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
) | st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"))
paths = st.lists(st.sampled_from(_SEGMENTS) | st.text(max_size=8), max_size=5).map(
    lambda parts: "/".join(quote(each, "$()=@,'%", errors="replace") for each in parts)
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_names = [
    *PUNCH, "deviceId", "latitude", "id", "status", "logs", "logs@odata.bind", "@odata.type",
    "@type", "x@y",
]  # fmt: skip
_fields = st.dictionaries(
    st.sampled_from(_names) | st.text(max_size=8), _json | st.sampled_from(list(PUNCH.values()))
)
records = (_fields.map(lambda fields: {**PUNCH, **fields}) | _json).map(json.dumps)
bodies = st.binary(max_size=40) | records.map(str.encode)

_urls = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "/odata/", "http://localhost/odata/", "$1/", "$", "//", "http://"]),
    paths,
    st.just("") | queries.map("?{}".format),
)
_requests = st.builds(
    "{} {} HTTP/1.1{end}{}{end}{}".format,
    st.sampled_from([*METHODS, "get", ""]),
    _urls,
    headers.map(lambda fields: "".join(f"{name}: {text}\n" for name, text in fields.items())),
    st.just("") | records,
    end=st.sampled_from(["\n", "\r\n", ""]),
)
_part_headers = st.sampled_from(
    ["Content-Type: application/http\n", "Content-Type: application/http\nContent-ID: 1\n",
     "content-type:application/http;x=y\r\n", "", "x", "Content-Type: text/plain\n"]
)  # fmt: skip
_parts = st.builds("{}\n{}".format, _part_headers, _requests)


def _multipart(parts: list[str], boundary: str, end: str) -> str:
    return "".join(f"--{boundary}\r\n{each}\r\n" for each in parts) + f"--{boundary}{end}"


_change_sets = st.lists(_parts, max_size=2).map(
    lambda parts: f"Content-Type: multipart/mixed; boundary=c\n\n{_multipart(parts, 'c', '--')}"
)
multiparts = st.builds(
    _multipart,
    st.lists(_parts | _change_sets | st.text(max_size=10), max_size=4),
    st.sampled_from(["b", "b", "b", "c"]),
    st.sampled_from(["--", "--\r\n", "--\nepilogue", "", "-"]),
).map(lambda text: text.encode(errors="replace"))

_request = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2", "3"]) | _json,
        "method": st.sampled_from([*METHODS, "get"]) | _json,
        "url": _urls | _json,
    },
    optional={
        "headers": headers | _json,
        "body": _fields | _json,
        "dependsOn": st.lists(st.sampled_from(["1", "2", "g"])) | _json,
        "atomicityGroup": st.sampled_from(["g", "1"]) | _json,
        "if": _json,
    },
)
json_batches = (
    st.lists(_request | _json, max_size=3).map(lambda requests: {"requests": requests}) | _json
).map(lambda batch: json.dumps(batch).encode())


def punches() -> list[dict[str, Any]]:
    """Return the bodies of some punches, which make the data that the queries read."""
    return [punch(n, latitude=n / 3, deviceId=f"phone {n}") for n in range(1, 9)]
