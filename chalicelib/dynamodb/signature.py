"""Sign requests with AWS Signature Version 4.

Only what JSON services need: a POST to the path ``/`` without a query.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """The keys of an AWS principal. ``session_token`` is empty for long-term keys."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, …)"  # no secret gets into a log


class Signer:
    """Signs the requests of one service and region with fixed credentials. Thread-safe."""

    def __init__(self, credentials: Credentials, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        # The key depends on the day. Both are one value, so that threads never see them mixed.
        self._key_of_day = ("", b"")

    def sign(self, headers: Mapping[str, str], body: bytes, at: float) -> dict[str, str]:
        """Return the headers to send: the given ones and those of the signature.

        Args:
            headers: every header to sign, ``host`` included. Names are in lower case; values have
                no space at either end and no two in sequence.
            body: the body.
            at: the time of the request, in seconds since the epoch.
        """
        instant = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        signed = {**headers, "x-amz-date": instant}
        if self._credentials.session_token:
            signed["x-amz-security-token"] = self._credentials.session_token
        names = sorted(signed)
        signed_names = ";".join(names)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        request = f"POST\n/\n\n{lines}\n{signed_names}\n{sha256(body).hexdigest()}"
        day = instant[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{instant}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._key(day), to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.access_key}/{scope},"
            f" SignedHeaders={signed_names}, Signature={signature}"
        )
        return signed

    def _key(self, day: str) -> bytes:
        """Return the signing key of a day, such as ``20261122``."""
        known_day, key = self._key_of_day
        if known_day != day:
            key = signing_key(self._credentials.secret_key, day, self._region, self._service)
            self._key_of_day = (day, key)
        return key


def signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    """Derive the signing key of a day, region and service from a secret key."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
