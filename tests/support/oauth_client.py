"""A client of an OAuth 2.0 authorization server (Authlib), and the grant that gives it tokens."""

from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, grants

_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(eq=False)
class Client(ClientMixin):
    """The one client that is registered, with one scope that it may ask for."""

    client_id: str
    secret: str
    scope: str

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.secret

    def check_endpoint_auth_method(self, method: str, _: str) -> bool:
        return method in _METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: Any) -> str:
        return scope if scope == self.scope else ""


class Grant(grants.ClientCredentialsGrant):
    """The client credentials grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = _METHODS
