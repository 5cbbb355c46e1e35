"""Reject request bodies in a content coding, for the routes and for the requests of a batch."""

from collections.abc import Mapping

from chalicelib.errors import ContentCodingError


def reject_content_coding(headers: Mapping[str, str]) -> None:
    """Require a body without a content coding: RFC 9110, section 8.4.

    Raises:
        ContentCodingError: the headers declare a coding, such as gzip.
    """
    codings = headers.get("content-encoding", "").strip()
    if codings.lower() not in ("", "identity"):
        raise ContentCodingError(
            f"Send the body without a Content-Encoding: {codings[:100]} is not supported.",
            target="Content-Encoding",
        )
