"""Read and check what the routes need of a request besides its body."""

from chalice.app import Request

from chalicelib.content_coding import reject_content_coding
from chalicelib.errors import ForbiddenError, InvalidError, MediaTypeError
from chalicelib.net import is_host
from chalicelib.web.headers import is_secure


def require_json(request: Request) -> None:
    """Require that the headers declare a JSON body in UTF-8; without a Content-Type, assume one.

    Raises:
        MediaTypeError: the headers declare another media type or charset.
        ContentCodingError: the headers declare a content coding, such as gzip.
    """
    reject_content_coding(request.headers)
    media_type = request.headers.get("content-type", "application/json").lower()
    kind, *parameters = (part.strip() for part in media_type.split(";"))
    charsets = {each for each in parameters if each.startswith("charset=")}
    charsets -= {"charset=utf-8", 'charset="utf-8"'}
    if kind != "application/json" or charsets:
        unknown = f" {min(charsets)[:100]} is not supported." if charsets else ""
        raise MediaTypeError(
            f"Send the body as UTF-8 JSON, with Content-Type: application/json.{unknown}"
        )


def require_intent(request: Request) -> None:
    """Require that a page sends no Basic credentials, which its browser may have added by itself.

    A browser to which a person has given them for this service adds them to requests of any site's
    pages. It marks these by ``Sec-Fetch-Site``, and where it does not know that, by ``Origin``.

    Raises:
        ForbiddenError: a page sends Basic credentials.
    """
    is_basic = request.headers.get("authorization", "").strip().lower().startswith("basic")
    if is_basic and ("sec-fetch-site" in request.headers or "origin" in request.headers):
        raise ForbiddenError(
            "A page must send the token as Authorization: Bearer <token>, not as Basic"
            " credentials, which a browser adds by itself."
        )


def require_host(request: Request) -> None:
    """Require that the Host header, which URLs in responses repeat, is a name or an address.

    Raises:
        InvalidError: it is neither: RFC 9112, section 3.2.
    """
    if not is_host(request.headers.get("host") or "localhost"):
        raise InvalidError(
            "Host must be the name or the address of this service, such as api.example:8000.",
            target="Host",
        )


def base_url(request: Request, public_url: str = "") -> str:
    """Return the URL under which clients reach the service, without a slash at its end.

    Without ``public_url`` it is that of the request, with the stage's prefix. API Gateway rejects a
    request whose Host is none of its own names. X-Forwarded-Host and the like are never read,
    because any client can send them.

    Args:
        request: the request.
        public_url: PUBLIC_URL; empty if clients address API Gateway itself.
    """
    if public_url:
        return public_url.rstrip("/")
    scheme = "https" if is_secure(request.headers) else "http"
    path: str = request.context["path"]
    prefix = path.rstrip("/").rsplit("/", request.path.count("/"))[0]
    return f"{scheme}://{request.headers.get('host') or 'localhost'}{prefix}"


def odata_version(request: Request) -> dict[str, str]:
    """Return the OData-Version header of a response under /odata, errors included; else nothing."""
    if not request.path.startswith("/odata"):
        return {}
    max_version = request.headers.get("odata-maxversion", "").strip()
    return {"OData-Version": "4.0" if max_version == "4.0" else "4.01"}
