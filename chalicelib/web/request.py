"""What the routes want to know of a request, beside what they are asked for."""

from chalice.app import Request

from chalicelib.errors import MediaTypeError
from chalicelib.web.headers import is_secure, require_no_coding


def require_json(request: Request) -> None:
    """See to it that the body is JSON in UTF-8, as far as the request says.

    Raises:
        MediaTypeError: it is something else.
        ContentCodingError: it was compressed.
    """
    require_no_coding(request.headers)
    media_type = request.headers.get("content-type", "application/json").lower()
    kind, *parameters = (part.strip() for part in media_type.split(";"))
    charsets = {each for each in parameters if each.startswith("charset=")}
    if kind != "application/json" or charsets - {"charset=utf-8", 'charset="utf-8"'}:
        raise MediaTypeError("The body must be sent as Content-Type: application/json, in UTF-8.")


def base_url(request: Request) -> str:
    """Return the URL under which the client reached the service, a stage's prefix included."""
    scheme = "https" if is_secure(request.headers) else "http"
    path: str = request.context["path"]
    prefix = path.rstrip("/").rsplit("/", request.path.count("/"))[0]
    return f"{scheme}://{request.headers.get('host') or 'localhost'}{prefix}"


def odata_version(request: Request) -> dict[str, str]:
    """Return the header that every answer under /odata has, errors included."""
    if not request.path.startswith("/odata"):
        return {}
    most = request.headers.get("odata-maxversion", "").strip()
    return {"OData-Version": "4.0" if most == "4.0" else "4.01"}
