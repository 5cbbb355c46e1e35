"""Build the credentials of the calls to the legacy from the values of the settings.

Everything is checked here. No message quotes a value.
"""

import logging
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pycurl

from chalicelib import telemetry
from chalicelib.integrator.legacy.authentication.access_token import is_token
from chalicelib.integrator.legacy.libcurl.transport import (
    Transport,
    has_control_characters,
    parse_authorities,
    parse_client_certificate,
    parse_proxy,
)
from chalicelib.integrator.legacy.messages import header_lines
from chalicelib.integrator.legacy.messages.redaction import Redactor
from chalicelib.settings import Settings, SettingsError

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authentication.token_request import TokenClient

_LIBCURL_SCHEMES = {"basic": pycurl.HTTPAUTH_BASIC, "digest": pycurl.HTTPAUTH_DIGEST}


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password, for ``basic``, ``digest`` or ``ntlm``."""

    scheme: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """What the settings say at one time. Two objects are two versions.

    Attributes:
        headers: lines that each request carries.
        token_client: our client at the token endpoint, for ``oauth2``.
        redact: removes these secrets from a text.
    """

    transport: Transport
    redact: Redactor
    headers: tuple[str, ...] = field(default=(), repr=False)
    login: Login | None = None
    token_client: "TokenClient | None" = None

    def apply(self, curl: pycurl.Curl, url: str) -> None:
        """Set the options of a new handle for a URL."""
        self.transport.apply(curl, url)
        if self.login and (scheme := _LIBCURL_SCHEMES.get(self.login.scheme)):
            curl.setopt(pycurl.HTTPAUTH, scheme)
            curl.setopt(pycurl.USERNAME, self.login.user.encode())
            curl.setopt(pycurl.PASSWORD, self.login.password.encode())


def parse(
    settings: Settings, values: Mapping[str, str], environment_proxies: Sequence[str] = ()
) -> Credentials:
    """Build the credentials from the values of the settings.

    Args:
        settings: the settings.
        values: the values behind the references of ``settings.legacy_credentials``.
        environment_proxies: the URLs of proxies in the environment, whose passwords are secrets.

    Raises:
        SettingsError: a value is invalid. The message names its setting, and does not quote it.
    """
    certificate, authorities, proxy = (
        values.get(name) for name in ("legacy_client_certificate", "legacy_ca", "legacy_proxy")
    )
    transport = Transport(
        authorities=parse_authorities(authorities) if authorities else None,
        client_certificate=parse_client_certificate(certificate) if certificate else None,
        proxy=parse_proxy(proxy) if proxy else None,
    )
    if transport.client_certificate and transport.client_certificate.is_expired:
        telemetry.event(
            "the client certificate has expired",
            level=logging.ERROR,
            setting="LEGACY_CLIENT_CERTIFICATE",
            not_valid_after=transport.client_certificate.not_valid_after.isoformat(),
        )
    headers = _headers(settings, values)
    login = _login(settings.legacy_auth, values)
    client = _token_client(settings, values) if settings.legacy_auth == "oauth2" else None
    secrets = [*_header_secrets(headers)]
    if login:
        secrets += _login_secrets(login.user, login.password)
    if client:
        secrets += [client.client_secret, client.basic]
    if transport.proxy:
        secrets += _login_secrets(transport.proxy.user, transport.proxy.password)
    for each in environment_proxies:
        secrets += _login_secrets(*_login_of_proxy(each))
    return Credentials(transport, Redactor(secrets), headers, login, client)


def _headers(settings: Settings, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the header lines of ``bearer`` and ``header``."""
    if token := values.get("legacy_token"):
        if not is_token(token):
            raise SettingsError("LEGACY_TOKEN must be printable ASCII without spaces")
        return (f"Authorization: Bearer {token}",)
    text = values.get("legacy_auth_headers", "")
    reserved = {
        **header_lines.RESERVED,
        "accept": "LEGACY_HEADERS",
        settings.legacy_key_header.lower(): "LEGACY_KEY_HEADER",
    }
    headers = header_lines.read("LEGACY_AUTH_HEADERS", text, "X-Api-Key: …", reserved)
    if text and not (headers and all(each.partition(": ")[2] for each in headers)):
        raise SettingsError("LEGACY_AUTH_HEADERS must have a value for each header")
    return tuple(headers)


def _login(mode: str, values: Mapping[str, str]) -> Login | None:
    if not (user := values.get("legacy_user")):
        return None
    password = values.get("legacy_password", "")
    for name, value in (("legacy_user", user), ("legacy_password", password)):
        _require_no_control_characters(name, value)
    if mode == "basic" and ":" in user:
        raise SettingsError("LEGACY_USER must not contain a colon with LEGACY_AUTH=basic")
    return Login(mode, user, password)


def _token_client(settings: Settings, values: Mapping[str, str]) -> "TokenClient":
    # With authlib and requests, which no other mode needs.
    from chalicelib.integrator.legacy.authentication.token_request import TokenClient  # noqa: PLC0415

    for name in ("legacy_client_id", "legacy_client_secret", "legacy_scope", "legacy_audience"):
        _require_no_control_characters(name, values.get(name, ""))
    if settings.legacy_client_auth == "basic-raw" and ":" in values["legacy_client_id"]:
        raise SettingsError(
            "LEGACY_CLIENT_ID must not contain a colon with LEGACY_CLIENT_AUTH=basic-raw"
        )
    return TokenClient(
        url=values["legacy_token_url"],
        client_id=values["legacy_client_id"],
        client_secret=values["legacy_client_secret"],
        sends_secret_in_body=settings.legacy_client_auth == "body",
        encodes_basic=settings.legacy_client_auth == "basic",
        scope=values.get("legacy_scope", ""),
        audience=values.get("legacy_audience", ""),
    )


def _require_no_control_characters(name: str, value: str) -> None:
    if has_control_characters(value):
        raise SettingsError(
            f"{name.upper()} must not contain control characters, such as line breaks"
        )


def _header_secrets(headers: Sequence[str]) -> list[str]:
    """Return each header's value, with and without its authentication scheme."""
    values = [line.partition(": ")[2] for line in headers]
    return [*values, *(value.partition(" ")[2] for value in values)]


def _login_secrets(user: str, password: str) -> list[str]:
    return [password, b64encode(f"{user}:{password}".encode()).decode()] if password else []


def _login_of_proxy(text: str) -> tuple[str, str]:
    """Return user and password of a proxy as libcurl reads them: scheme and port may be missing."""
    user, _, password = text.rpartition("://")[2].rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)
