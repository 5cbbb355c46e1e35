"""Keep the files of the journal in an S3 bucket.

S3 stores an object whole or not at all, and a put that has answered is durable:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel. In a bucket
with Object Lock and versions, an object that is replaced stays as an earlier version.
"""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from chalicelib.errors import UnavailableError

# What reading and parsing a response of something else than S3 may raise.
_ERRORS = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    LookupError,
    TypeError,
    ValueError,
    OSError,
)


class BucketFiles:
    """Objects of a bucket.

    Args:
        client: boto3's client of S3.
        bucket: the name of the bucket.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, name: str, content: bytes) -> None:
        """Store an object; see ``Files.put``."""
        try:
            # A put into a bucket with Object Lock needs a checksum, which boto3 may be configured
            # to leave out: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
            response = self._client.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=content,
                ContentType="application/gzip",
                ChecksumAlgorithm="CRC32",
            )
            # Something on the way to S3, such as a captive portal, may answer 200, too.
            is_stored = bool(response["ETag"])
        except _ERRORS as error:
            raise _unavailable(error) from error
        if not is_stored:
            raise _unavailable(ValueError("the response has no ETag"))

    def get(self, name: str) -> bytes:
        """Return an object; see ``Files.get``."""
        try:
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        except _ERRORS as error:
            raise _unavailable(error) from error
        return content

    def names(self, kind: str, after: str) -> Iterator[str]:
        """Yield keys; see ``Files.names``."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": f"{kind}/"}
        request["StartAfter"] = after
        while True:
            try:
                response = self._client.list_objects_v2(**request)
                names = [each["Key"] for each in response.get("Contents", [])]
                # A page may be empty and not the last: S3 skips expired files, whose delete markers
                # it still has.
                token = response["NextContinuationToken"] if response["IsTruncated"] else None
            except _ERRORS as error:
                raise _unavailable(error) from error
            yield from names
            if token is None:
                return
            request["ContinuationToken"] = token


def _unavailable(error: Exception) -> UnavailableError:
    """Return our error for one of boto3's, which the log has as its cause."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    reason = code or type(error).__name__
    return UnavailableError(
        f"The journal is unavailable: {reason}. Check the bucket that JOURNAL names."
    )
