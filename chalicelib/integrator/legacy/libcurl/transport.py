"""How libcurl reaches the legacy and its token endpoint: HTTP, authorities, certificate, proxy.

The settings are checked when they are read, because libcurl would report a bad certificate only as
a call that failed. No message quotes a value.
"""

import ssl
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pycurl

from chalicelib.net import is_host, is_loopback
from chalicelib.settings import SettingsError

# Where Amazon Linux keeps its certificate authorities.
_AMAZON_LINUX_CA_FILE = "/etc/pki/tls/certs/ca-bundle.crt"
# Many firewalls refuse requests without one, as do the core rules of AWS WAF. By default it would
# list the versions of ten libraries. A header of the settings replaces it.
_USER_AGENT = "punch-clock"
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_PEM_START = "-----BEGIN "
# CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl does not name: the headers of a proxy's answer to
# CONNECT would be taken for those of the legacy.
_SUPPRESS_CONNECT_HEADERS = 265


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. ``url`` has no credentials."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate with its chain and private key, as PEM."""

    pem: bytes = field(repr=False)
    not_valid_after: datetime

    @property
    def is_expired(self) -> bool:
        return datetime.now(UTC) > self.not_valid_after


@dataclass(frozen=True, slots=True)
class Transport:
    """How connections are made. By default: the system's authorities, and the variables of proxies.

    Attributes:
        authorities: PEM of the certificate authorities that replace the system's.
    """

    authorities: bytes | None = None
    client_certificate: ClientCertificate | None = None
    proxy: Proxy | None = None

    def for_token_endpoint(self) -> "Transport":
        """Return the transport to a token endpoint, whose certificate may be of either authority.

        Many legacies with a private authority take the tokens of a public service.
        """
        if self.authorities and (ca_file := default_ca_file()):
            both = self.authorities + b"\n" + Path(ca_file).read_bytes()
            return replace(self, authorities=both)
        return self

    def apply(self, curl: pycurl.Curl, url: str) -> None:
        """Set the URL of a handle, and the options that every request of ours has in common.

        Without ``proxy`` libcurl reads the variables ``https_proxy``, ``HTTPS_PROXY``,
        ``http_proxy``, ``all_proxy``, ``ALL_PROXY``, ``no_proxy`` and ``NO_PROXY``. It ignores
        ``HTTP_PROXY``, which a web server may set from a header (https://httpoxy.org).
        """
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.HTTP09_ALLOWED, 0)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        curl.setopt(pycurl.USERAGENT, _USER_AGENT)
        curl.setopt(pycurl.NOSIGNAL, 1)  # signals belong to the main thread
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        curl.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
        if self.authorities:
            curl.setopt(pycurl.CAINFO_BLOB, self.authorities)
            curl.setopt(pycurl.PROXY_CAINFO_BLOB, self.authorities)
            curl.unsetopt(pycurl.CAPATH)
            curl.unsetopt(pycurl.PROXY_CAPATH)
        elif ca_file := default_ca_file():
            curl.setopt(pycurl.CAINFO, ca_file)
            curl.setopt(pycurl.PROXY_CAINFO, ca_file)
        if self.client_certificate:
            curl.setopt(pycurl.SSLCERT_BLOB, self.client_certificate.pem)
            curl.setopt(pycurl.SSLKEY_BLOB, self.client_certificate.pem)
        if self.proxy:
            curl.setopt(pycurl.PROXY, self.proxy.url)
            curl.setopt(pycurl.NOPROXY, "")  # the setting wins over the variable NO_PROXY
            if self.proxy.user:
                curl.setopt(pycurl.PROXYUSERNAME, self.proxy.user.encode())
                curl.setopt(pycurl.PROXYPASSWORD, self.proxy.password.encode())
        elif is_loopback(urlsplit(url).hostname):
            curl.setopt(pycurl.PROXY, "")  # no proxy of an organisation reaches this machine


@cache
def default_ca_file() -> str | None:
    """Return the system's certificate authorities: the interpreter's, or those of Amazon Linux.

    libcurl's own default is a path of the machine that built it. None leaves it at that.
    """
    if cafile := ssl.get_default_verify_paths().cafile:
        return cafile
    return _AMAZON_LINUX_CA_FILE if Path(_AMAZON_LINUX_CA_FILE).exists() else None


def parse_client_certificate(text: str) -> ClientCertificate:
    """Read LEGACY_CLIENT_CERTIFICATE.

    Raises:
        SettingsError: a part is missing or unreadable, or certificate and key are not a pair.
    """
    from cryptography import x509  # noqa: PLC0415 - few legacies need it
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    pem = text.encode()
    name = "LEGACY_CLIENT_CERTIFICATE"
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        raise SettingsError(
            f"{name} contains no certificate that can be read. Send PEM: the certificate, its"
            " chain, and the private key."
        ) from None
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise SettingsError(
            f"the private key in {name} has a passphrase. Send it without one."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"{name} contains no private key that can be read. Append it, as PEM, to the"
            " certificate."
        ) from None
    if key.public_key() != certificate.public_key():
        raise SettingsError(
            f"the private key in {name} does not belong to the first certificate. Send the"
            " certificate of that key first, then its chain."
        )
    return ClientCertificate(pem, certificate.not_valid_after_utc)


def parse_authorities(text: str) -> bytes:
    """Read LEGACY_CA: PEM, or the path of a file with PEM.

    Raises:
        SettingsError: the file cannot be read, or has no certificate.
    """
    from cryptography import x509  # noqa: PLC0415 - few legacies need it

    if _PEM_START not in text:
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"LEGACY_CA is neither PEM nor a file that can be read: {type(error).__name__}"
            ) from None
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise SettingsError(
            "LEGACY_CA contains no certificate that can be read. Send certificates as PEM."
        ) from None
    return text.encode()


def parse_proxy(text: str) -> Proxy:
    """Read LEGACY_PROXY.

    Raises:
        SettingsError: it is not the URL of a proxy.
    """
    try:
        url = urlsplit(text)
        is_valid = (
            url.scheme in _PROXY_SCHEMES
            and bool(url.port)
            and is_host(url.netloc.rpartition("@")[2])
            and not (url.password and not url.username)
            and url.path in ("", "/")
            and not (url.query or url.fragment)
            and text.isascii()
            and text.isprintable()
        )
        user, password = unquote(url.username or ""), unquote(url.password or "")
    except ValueError:
        is_valid = False
    if not is_valid or has_control_characters(user + password):
        raise SettingsError(
            "LEGACY_PROXY must be a URL such as http://user:password@proxy.example:3128, with one"
            f" of the schemes {', '.join(_PROXY_SCHEMES)}"
        )
    host = url.netloc.rpartition("@")[2]
    return Proxy(f"{url.scheme}://{host}", user, password)


def has_control_characters(text: str) -> bool:
    """Return whether a text has a line break, a NUL or another control character."""
    return any(ord(each) < 32 or ord(each) == 127 for each in text)
