"""The journal in a bucket: put, list in pages, get, and an S3 that refuses or is none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from chalicelib import aws as clients
from chalicelib.errors import UnavailableError
from chalicelib.journal.journal_bucket import BucketFiles
from chalicelib.journal.journal_files import DELIVERIES, RECORDS, DamagedFileError, Journal
from tests.aws.conftest import REGION
from tests.support.http_server import HttpServer, Response

BUCKET = "journal"
START = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)


@pytest.fixture
def client(aws: pytest.MonkeyPatch) -> Any:
    """A client of S3 whose lists have pages of two keys."""
    del aws
    client = clients.s3(10)
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2",
        lambda params, **_: params.update(MaxKeys=2),
    )
    return client


def test_files_are_written_listed_in_pages_and_read(client: Any) -> None:
    place = {"LocationConstraint": REGION}
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    instants = iter(START + number * timedelta(minutes=20) for number in range(9))
    journal = Journal(BucketFiles(client, BUCKET), lambda: next(instants))
    names = [journal.write(RECORDS, [str(number)]) for number in range(7)]
    journal.write(DELIVERIES, ["another kind"])
    assert list(journal.names(RECORDS, START)) == names
    assert list(journal.names(RECORDS, START + timedelta(minutes=41))) == names[3:]
    assert list(journal.names(RECORDS, START, after=names[4])) == names[5:]
    assert journal.read(names[6]) == ["6"]
    journal.replace(names[6], ["new"])
    assert journal.read(names[6]) == ["new"]


def test_a_page_without_files_is_not_the_end_of_a_list() -> None:
    """S3 returns such pages where it has delete markers only, as of expired files."""
    pages = [
        {"Contents": [{"Key": "records/1"}], "IsTruncated": True, "NextContinuationToken": "a"},
        {"IsTruncated": True, "NextContinuationToken": "b"},
        {"KeyCount": 1, "Contents": [{"Key": "records/2"}], "IsTruncated": False},
    ]
    s3 = boto3.client("s3", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(s3) as stub:
        for token, page in zip((None, "a", "b"), pages, strict=True):
            expected = {"Bucket": BUCKET, "Prefix": "records/", "StartAfter": "records/0"}
            expected |= {"ContinuationToken": token} if token else {}
            stub.add_response("list_objects_v2", page, expected)
        assert list(BucketFiles(s3, BUCKET).names(RECORDS, "records/0")) == [
            "records/1",
            "records/2",
        ]
        stub.assert_no_pending_responses()


def test_a_truncated_list_without_its_continuation_is_no_end() -> None:
    s3 = boto3.client("s3", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(s3) as stub:
        stub.add_response("list_objects_v2", {"IsTruncated": True})
        with pytest.raises(UnavailableError, match="JOURNAL"):
            list(BucketFiles(s3, BUCKET).names(RECORDS, "records/0"))


def test_a_put_has_the_checksum_that_object_lock_asks_for(
    aws: pytest.MonkeyPatch, client: Any
) -> None:
    """Also where boto3 computes checksums only when a call must have one."""
    aws.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    place = {"LocationConstraint": REGION}
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration=place, ObjectLockEnabledForBucket=True
    )
    sent: list[dict[str, Any]] = []
    configured = clients.s3(10)
    configured.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(dict(request.headers))
    )
    Journal(BucketFiles(configured, BUCKET)).write(RECORDS, ["x"])
    (headers,) = sent
    assert headers["x-amz-checksum-crc32"]


def test_a_bucket_that_does_not_exist_is_named_as_the_cause(client: Any) -> None:
    journal = Journal(BucketFiles(client, "absent"))
    for use in (
        lambda: journal.write(RECORDS, ["x"]),
        lambda: journal.read("records/x"),
        lambda: list(journal.names(RECORDS, START)),
    ):
        with pytest.raises(UnavailableError, match="NoSuchBucket"):
            use()


def test_a_captive_portal_is_no_journal(aws: pytest.MonkeyPatch) -> None:
    html = Response(headers={"Content-Type": "text/html"}, body=b"<html><br>Log in</html>")
    with HttpServer(lambda _: html).running() as portal:
        aws.setenv("AWS_ENDPOINT_URL", portal.origin)
        aws.setattr(boto3, "DEFAULT_SESSION", None)
        journal = Journal(BucketFiles(clients.s3(2), BUCKET))
        with pytest.raises(UnavailableError, match="JOURNAL"):
            journal.write(RECORDS, ["x"])
        with pytest.raises(DamagedFileError):
            journal.read("records/x")
        with pytest.raises(UnavailableError, match="JOURNAL"):
            list(journal.names(RECORDS, START))
