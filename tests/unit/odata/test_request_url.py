"""URLs in batches and in ``$id`` are resolved and compared as RFC 3986 says."""

import pytest

from chalicelib.errors import InvalidError, NotFoundError
from chalicelib.odata.request_url import parse_request_url

ROOTS = ["https://api.example.com/punch/odata", "http://localhost:8000/odata"]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/punch/odata/PointRecords",
        "https://api.example.com:443/punch/odata/PointRecords",
        "http://api.example.com:80/punch/odata/PointRecords",
        "https://api.example.com:/punch/odata/PointRecords",
        "HTTPS://API.Example.COM:443/punch/odata/PointRecords",
        "https://api.ex%61mple.com/punch/odata/PointRecords",
        "//api.example.com/punch/odata/PointRecords",
        "//API.example.com:443/punch/odata/PointRecords",
        "/punch/odata/PointRecords",
        "/odata/PointRecords",
        "http://localhost:8000/odata/PointRecords",
        "//localhost:8000/odata/PointRecords",
        "PointRecords",
        "./PointRecords",
        "././PointRecords",
        "../odata/PointRecords",
        "../../punch/odata/PointRecords",
        "IntegrationLogs/../PointRecords",
        "PointRecords/.",
        "PointRecords/logs/..",
        "/punch/./odata/x/../PointRecords",
        "/punch/%2E%2e/punch/odata/%2e/PointRecords",
        "/p%75nch/%6Fdata/PointRecords",
        "https://api.example.com/../punch/odata/PointRecords",
        "https://api.example.com:443/punch/../punch/odata/./PointRecords/",
        " /odata/PointRecords#top ",
    ],
)
def test_equivalent_urls_lead_to_one_path(url: str) -> None:
    assert parse_request_url(url, ROOTS) == ("PointRecords", [])


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/punch/odata/PointRecords",
        "//other.example.com/punch/odata/PointRecords",
        "https://api.example.com:8443/punch/odata/PointRecords",
        "https://api.example.com:4430/punch/odata/PointRecords",
        "http://localhost/odata/PointRecords",
        "https://someone@api.example.com/punch/odata/PointRecords",
        "https://api.example.com/odata/PointRecords",
        "https://api.example.com/punch/odatax/PointRecords",
        "https://api.example.com/punch/PointRecords",
        "https://api.example.com",
        "//",
        "/",
        "..",
        "../PointRecords",
        "/odata/../PointRecords",
        "/odata/%2e%2e/health",
        "/punch/ODATA/PointRecords",
        "//odata/PointRecords",
    ],
)
def test_url_elsewhere_is_not_found(url: str) -> None:
    with pytest.raises(NotFoundError):
        parse_request_url(url, ROOTS)


def test_service_root_has_an_empty_path() -> None:
    for url in ("", ".", "./", "/odata", "/odata/", "/odata/x/..", "//api.example.com/punch/odata"):
        assert parse_request_url(url, ROOTS) == ("", [])


def test_path_stays_encoded_and_options_are_decoded() -> None:
    path, query = parse_request_url("PointRecords(%27a%2Fb%27)/x?$filter=a%20eq%20'é'&b", ROOTS)
    assert (path, query) == ("PointRecords(%27a%2Fb%27)/x", [("$filter", "a eq 'é'"), ("b", "")])


def test_plus_sign_in_a_query_string_is_a_space_unless_it_is_encoded() -> None:
    _, query = parse_request_url("PointRecords?$filter=a+eq+'b%2Bc'", ROOTS)
    assert query == [("$filter", "a eq 'b+c'")]


def test_query_string_must_be_utf_8() -> None:
    with pytest.raises(InvalidError, match="UTF-8"):
        parse_request_url("PointRecords?$filter=deviceId eq '%E7'", ROOTS)
