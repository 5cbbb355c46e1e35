"""Excel and Power BI, as far as it is known without them: their query, and the requests they send.

The query of docs/analysts.md is parsed by Microsoft's own parser of M. The headers of the requests
are those that a service has recorded (https://github.com/NLstn/go-odata/issues/874), and the URLs
are of the form that Microsoft documents
(https://learn.microsoft.com/power-query/querydiagnosticsfolding).
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests

import app
from local.child_process import PROJECT
from local.node import install
from tests.clients.conftest import PAGE, Stack
from tests.support.lambda_events import context
from tests.support.service import wired
from tests.support.tokens import OPERATOR, operator_event

HERE = Path(__file__).parent
EMPLOYER = 77  # of these tests alone
IN_MONTH = PAGE + 2
HEADERS = {
    "Accept": "application/json;odata.metadata=minimal;q=1.0,application/json;odata=minimalmetadata"
    ";q=0.9,application/atomsvc+xml;q=0.8,application/atom+xml;q=0.8,application/xml;q=0.7,"
    "text/plain;q=0.7",
    "Accept-Encoding": "gzip, deflate",
    "MaxDataServiceVersion": "3.0",
    "OData-MaxVersion": "4.0",
    "User-Agent": "Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)",
}
MONTH = (
    "includedAt%20ge%202026-11-01T00:00:00-03:00"
    "%20and%20includedAt%20lt%202026-12-01T00:00:00-03:00"
)
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


@pytest.fixture(scope="module")
def report(empty_stack: Stack) -> requests.Session:
    """A session that sends Power Query's headers, with a key of the employer as its password."""
    punches = [
        {"employeeId": 1, "employerId": employer, "includedAt": at}
        for employer in (EMPLOYER, EMPLOYER + 1)
        for at in (
            "2026-10-31T23:59:59-03:00",
            *(f"2026-11-{day:02}T00:00:00-03:00" for day in range(1, IN_MONTH + 1)),
        )
    ]
    posted = requests.post(
        f"{empty_stack.url}/point-record", json=punches, headers=OPERATOR, timeout=30
    )
    assert {each["status"] for each in posted.json()} == {201}
    empty_stack.replicate()
    with wired(empty_stack.variables):
        made = app.access_keys(operator_event(name="Excel", employerId=EMPLOYER), context())
    session = requests.Session()
    session.auth = ("anybody", made["key"])
    session.headers.update(HEADERS)
    return session


@pytest.fixture(scope="module")
def model(empty_stack: Stack, report: requests.Session) -> ET.Element:
    """The metadata document, as Power Query asks for it."""
    response = report.get(f"{empty_stack.root}/$metadata", timeout=30)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/xml"
    assert response.headers["OData-Version"] == "4.0"
    document = ET.fromstring(response.content)  # noqa: S314 - our own document
    assert document.get("Version") == "4.0"
    return document


def test_service_document_names_the_tables(empty_stack: Stack, report: requests.Session) -> None:
    response = report.get(empty_stack.root, timeout=30)
    assert response.headers["Content-Type"] == "application/json;odata.metadata=minimal"
    assert response.headers["OData-Version"] == "4.0"
    assert response.json()["@odata.context"] == f"{empty_stack.root}/$metadata"
    assert ("PointRecords", "EntitySet") in {
        (each["name"], each["kind"]) for each in response.json()["value"]
    }


@pytest.mark.parametrize(
    ("top", "sizes"), [("", [PAGE, IN_MONTH - PAGE]), ("&$top=1000", [IN_MONTH])]
)
@pytest.mark.parametrize(
    ("prefer", "applied"), [({}, None), ({"Prefer": "omit-values=nulls"}, "omit-values=nulls")]
)
def test_folded_query_reads_the_rows_of_the_month(
    top: str,
    sizes: list[int],
    prefer: dict[str, str],
    applied: str | None,
    empty_stack: Stack,
    report: requests.Session,
) -> None:
    url = (
        f"{empty_stack.root}/PointRecords?$filter={MONTH}"
        f"&$select=employeeId%2CincludedAt%2Cstatus%2CdeviceId{top}"
    )
    pages: list[list[dict[str, Any]]] = []
    while url:
        response = report.get(url, headers=prefer, timeout=30)
        assert response.status_code == 200, response.text
        assert response.headers["OData-Version"] == "4.0"
        assert response.headers.get("Preference-Applied") == applied
        assert "@odata.context" in response.json()
        pages.append(response.json()["value"])
        url = response.json().get("@odata.nextLink")
    assert [len(page) for page in pages] == sizes
    rows = [row for page in pages for row in page]
    assert {row["employeeId"] for row in rows} == {1}
    assert len({row["includedAt"] for row in rows}) == IN_MONTH
    assert {"deviceId" in row for row in rows} == {applied is None}
    count = report.get(f"{empty_stack.root}/PointRecords/$count?$filter={MONTH}", timeout=30)
    assert count.text.removeprefix("\ufeff") == str(IN_MONTH)


def test_documented_query_is_valid_and_uses_what_the_service_has(model: ET.Element) -> None:
    text = (PROJECT / "docs/analysts.md").read_text("utf-8")
    [query] = re.findall(r"^```powerquery\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    used = parse(query)
    assert used["calls"] == [
        "OData.Feed", "Table.SelectRows", "#datetimezone", "#datetimezone", "Table.SelectColumns",
    ]  # fmt: skip
    sets = {each.get("Name") for each in model.iter(f"{EDM}EntitySet")}
    record = next(
        each for each in model.iter(f"{EDM}EntityType") if each.get("Name") == "PointRecord"
    )
    columns = {each.get("Name") for each in record.iter(f"{EDM}Property")}
    _, version, table, kind, *selected = used["texts"]
    assert (version, kind) == ("2.0", "table")
    assert table in sets
    assert {*selected, *used["fields"]} - {"Data"} <= columns
    with pytest.raises(subprocess.CalledProcessError):
        parse(query.replace("\nin\n", "\n"))


def parse(query: str) -> dict[str, list[str]]:
    """Return the functions, fields and texts of a query in M."""
    node, modules = install(HERE, "clients")
    process = subprocess.run(
        [node, HERE / "power_query.cjs"],
        env={**os.environ, "NODE_PATH": str(modules)},
        input=query,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    used: dict[str, list[str]] = json.loads(process.stdout)
    return used
