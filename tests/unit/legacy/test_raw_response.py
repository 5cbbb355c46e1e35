"""What the client reads from a response itself: the head and the encoding."""

import codecs
import gzip
import time
import zlib

import pytest

from chalicelib.integrator.legacy.libcurl.raw_response import (
    closes_connection,
    decode,
    final_fields,
    is_json_object,
    is_xml_document,
)

SUCCESS = b'{"message": "success"}'


def gzipped(body: bytes) -> bytes:
    """Return gzip without the time, which would make the names of tests differ between workers."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "wbits"),
    [
        *((name, 31) for name in ("gzip", "x-gzip", "GZIP ", '"gzip"', "gzip;q=1.0", "gzip ; q=1")),
        ("aws-chunked, gzip", 31),
        ("gzip, chunked", 31),
        ("deflate", 15),
        ("deflate", -15),
    ],
)
def test_known_content_encoding_is_undone(encoding: str, wbits: int) -> None:
    compressor = zlib.compressobj(wbits=wbits)
    encoded = compressor.compress(b'{"message": "success"}') + compressor.flush()
    assert decode(encoded, encoding).body == b'{"message": "success"}'


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("gzip, gzip", gzipped(gzipped(SUCCESS))),
        ("deflate, identity, gzip", gzipped(zlib.compress(SUCCESS))),
        ("gzip", gzipped(SUCCESS[:9]) + gzipped(SUCCESS[9:])),
        ("gzip", gzipped(SUCCESS) + b"garbage"),
        ("", SUCCESS),
    ],
    ids=["twice", "of two kinds", "two members", "garbage at the end", "none"],
)
def test_several_encodings_and_members_are_undone(encoding: str, encoded: bytes) -> None:
    assert decode(encoded, encoding).body == SUCCESS


@pytest.mark.parametrize("encoding", [None, "identity", "br", "gzip", "br, gzip", "gzip, br"])
def test_body_that_cannot_be_decoded_is_unchanged(encoding: str | None) -> None:
    assert decode(b"plain", encoding).body == b"plain"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "deflate, gzip", "gzip, br"])
@pytest.mark.parametrize(
    "body",
    [
        b'{\n  "message": "success"\n}',
        b'{"id":1}',
        b"80 stored\0",  # begins as a stream of zlib does
        b"(S) \xe9",
        "<e>não</e>".encode(),
        "<e>não</e>".encode("latin-1"),
        b"",
    ],
)
def test_body_that_is_not_compressed_is_unchanged_whatever_its_encoding(
    encoding: str, body: bytes
) -> None:
    assert decode(body, encoding).body == body


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate, gzip", "br, gzip"])
def test_encoding_that_was_not_applied_is_left_out(encoding: str) -> None:
    assert decode(gzipped(SUCCESS), encoding).body == SUCCESS


NO_ENCODINGS = [
    *("ISO-8859-1", "ISO8859-15", "iso8859_1", "ISO_8859-1", "iso88591", "latin1", "Latin-1"),
    *("ansi", "unicode", "windows-1252", "cp1252", "UTF-8", "us-ascii"),
    *("identity", "none", "binary", "8bit", "base64", "quoted-printable", "chunked", "aws-chunked"),
    *("text/html", "application/json", "text/html; charset=latin1", '"utf-8"', "latin1;q=1.0"),
]


@pytest.mark.parametrize(
    ("encoding", "body", "is_whole"),
    [
        (None, b"\x0b\x02\x80ok\x03", True),
        ("gzip", gzipped(SUCCESS), True),
        ("deflate", zlib.compress(SUCCESS), True),
        ("gzip, deflate", zlib.compress(gzipped(SUCCESS)), True),
        ("gzip", gzipped(SUCCESS) + b"\0\0\n", True),
        ("gzip", gzipped(SUCCESS)[:-1], False),
        ("gzip", gzipped(SUCCESS)[:12], False),
        ("gzip", gzipped(SUCCESS) + gzipped(b"no")[:-1], False),
        # A gzip with its trailer is complete, also if more bytes follow.
        ("gzip", gzipped(SUCCESS) + b"\x1f", True),
        ("gzip", gzipped(SUCCESS) + b"<br>\x80", True),
        ("gzip", gzipped(SUCCESS)[:-8] + bytes(8), False),
        ("gzip", gzipped(SUCCESS[:9])[:-8] + gzipped(SUCCESS[9:]), False),
        ("deflate", zlib.compress(SUCCESS)[:-1], False),
        ("deflate", zlib.compress(SUCCESS) + b"<br>\x80", True),
        ("gzip, deflate", zlib.compress(gzipped(SUCCESS))[:-1], False),
        ("gzip, deflate", zlib.compress(gzipped(SUCCESS)[:-1]), False),
        ("gzip", gzipped(b" " * 1_000_001), False),
        *((each, b"\x0b\x02\x80ok\x03", False) for each in ("br", "zstd", "gzip, br", "gzip")),
        ("br, gzip", gzipped(b"\x0b\x02\x80ok\x03"), False),
        ("gzip, gzip, gzip, gzip", gzipped(SUCCESS), False),
        # Labelled, but not compressed.
        ("br", SUCCESS, True),
        ("gzip", b"<e>n\xc3\xa3o</e>\r\n\0", True),
        *((each, b"registro inclu\xeddo\r\n\0", True) for each in ("gzip", "x-gzip", "deflate")),
        ("gzip, gzip", gzipped(b"<e>n\xe3o</e>"), True),
        ("gzip, deflate", zlib.compress(b"<e>n\xe3o</e>"), True),
        ("gzip, deflate", zlib.compress(b"<e>n\xe3o</e>" * 9)[:-1], False),
        ("deflate", b"<e>n\xe3o</e>\x03", False),
        ("br", b"<e>n\xe3o</e>", False),
        ("gzip", "não".encode("utf-16"), True),
        ("br", codecs.BOM_UTF16_BE + "não".encode("utf-16-be"), True),
        ("gzip", codecs.BOM_UTF32_BE + "não".encode("utf-32-be"), True),
        ("br", codecs.BOM_UTF8 + b"n\0o\xe3", True),
        ("gzip", b"", True),
        ("br", b"", True),
        # Charsets, which are not encodings in this sense.
        *((each, b"<e>n\xe3o</e>", True) for each in NO_ENCODINGS),
        ("unicode", "não".encode("utf-16-le"), True),
        ("utf-8, gzip", gzipped(b"<e>n\xe3o</e>"), True),
        ("text/html, gzip", gzipped(SUCCESS)[:-1], False),
    ],
)
def test_body_is_whole_if_every_encoding_was_undone_to_its_end(
    encoding: str | None, body: bytes, is_whole: bool
) -> None:
    assert decode(body, encoding).is_whole is is_whole


def test_data_without_a_header_are_deflate_only_if_they_end_with_it() -> None:
    compressor = zlib.compressobj(wbits=-15)
    encoded = compressor.compress(SUCCESS * 9) + compressor.flush()
    for unlike in (encoded[:-1], encoded + b"x"):
        assert decode(unlike, "deflate").body == unlike
    assert decode(encoded, "gzip").body == encoded


def test_decoded_body_is_bounded() -> None:
    bomb = zlib.compress(b" " * 50_000_000)
    assert len(decode(bomb, "deflate").body) == 1_000_000
    assert decode(bomb, "deflate", 100).body == b" " * 100


EMPTY = gzipped(b"")


def test_number_of_members_is_bounded() -> None:
    """The CPU time of 100,000 members, each copied, is seconds."""
    within, beyond = (EMPTY * before + gzipped(SUCCESS) for before in (99, 100))
    assert decode(within, "gzip").body == SUCCESS
    assert decode(beyond, "gzip").body == beyond


def test_members_within_members_are_bounded() -> None:
    bomb = gzipped(EMPTY * 40_000)
    started = time.process_time()
    assert decode(bomb, "gzip, gzip").body == EMPTY * 40_000
    assert time.process_time() - started < 0.3


def test_number_of_encodings_is_bounded() -> None:
    thrice = gzipped(gzipped(gzipped(SUCCESS)))
    assert decode(thrice, "gzip, gzip, gzip").body == SUCCESS
    fourth = gzipped(thrice)
    assert decode(fourth, "gzip, gzip, gzip, gzip").body == fourth


OK = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"


@pytest.mark.parametrize(
    ("received", "retry_after"),
    [
        (OK, "7"),
        (OK.replace(b"\r\n", b"\n"), "7"),
        (EARLY + OK, "7"),
        (OK + b"Retry-After: 8\r\n", "7"),  # a trailer
        (b"HTTP/1.1 101 Switching\r\nRetry-After: 1\r\n\r\n", "1"),
        (OK.replace(b"\r\n\r\n", b"\r\nretry-after: 8\r\n\r\n"), "7, 8"),  # a list
    ],
)
def test_fields_are_those_of_the_final_response(received: bytes, retry_after: str) -> None:
    fields = final_fields(received)
    assert fields is not None
    assert fields["retry-after"] == retry_after


@pytest.mark.parametrize("received", [b"", OK[:-2], OK[:20], EARLY, EARLY + OK[:-2]])
def test_head_that_breaks_off_has_no_fields(received: bytes) -> None:
    assert final_fields(received) is None


@pytest.mark.parametrize(
    ("received", "closes"),
    [
        (b"HTTP/1.1 400 No\r\nConnection: Close\r\n\r\n", True),
        (b"HTTP/1.0 400 No\r\n\r\n", True),
        (b"HTTP/1.1 400 No\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.1 400 No\r\nConnection: Upgrade\r\nConnection: close\r\n\r\n", True),
        (OK, False),
        (b"", False),
    ],
)
def test_closing_of_the_connection_is_announced_by_the_header_or_the_version(
    received: bytes, closes: bool
) -> None:
    assert closes_connection(received) is closes


@pytest.mark.parametrize(
    ("body", "is_complete"),
    [
        (b'{"a": {}}', True),
        (b"{} \r\n", True),
        (b'{"a": "two\nlines"}\0', True),
        (b"{}\0{}", False),
        (b'{"a": {}', False),
        (b"{}}", False),
        (b"[{}]", False),
        (b'{"a":' * 50_000 + b"}", False),
    ],
)
def test_json_object_is_complete_once_it_is_parsed(body: bytes, is_complete: bool) -> None:
    assert is_json_object(body) is is_complete


BILLION_LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a0 "lol">'
    + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 11))
    + b"]><r>&a10;</r>"
)


@pytest.mark.parametrize(
    ("body", "is_complete"),
    [
        (b"<r>stored</r>", True),
        (b"<r/>", True),
        (b'<?xml version="1.0" encoding="utf-8"?>\r\n<r><a/></r>\r\n\0', True),
        (b"\xef\xbb\xbf<r>\xc3\xa3</r>", True),
        (b"<r>jo\xe3o</r>", True),  # Latin-1, as only the Content-Type says
        (b'<?xml version="1.0" encoding="windows-1252"?><r>\x80</r>', True),
        (b'<?xml version="1.0" encoding="no-such-one"?><r>\xe3</r>', True),
        (b"<r>a &gt; b</r><!-- built in 3 ms -->", True),
        (b'<s:E xmlns:s="urn:s"><s:B><x/></s:B></s:E>', True),
        (b"<r><a>stored</a>", False),
        (b"<r><a/>", False),
        (b'<?xml version="1.0"?>', False),
        (b"<r a='>", False),
        (b"<r><!-- </r> -->", False),
        (b"<r><![CDATA[</r>]]>", False),
        (b"<r/><r/>", False),
        (b"<br><p>", False),
        (b"stored >", False),
        (b">", False),
        (b"<!DOCTYPE html><html></html>", False),
        (BILLION_LAUGHS, False),
        (b"<r>" * 200_000 + b"</r>" * 200_000, True),
        (b"<r>" * 200_000 + b"</r>" * 199_999, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_xml_is_complete_once_its_root_element_has_ended(body: bytes, is_complete: bool) -> None:
    started = time.process_time()
    assert is_xml_document(body) is is_complete
    assert time.process_time() - started < 1
