"""An access token of OAuth 2.0, and the error of a request that brought none."""

from dataclasses import dataclass, field


class TokenError(Exception):
    """No token was issued. The message is the reason, for people.

    Attributes:
        is_refused: whether the token endpoint refuses our client, so that an operator must act.
        details: what the token endpoint says about it, for operators; it may quote secrets.
        retry_after_s: how long the token endpoint asks us to wait; 0 if it does not.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_refused: bool = False,
        details: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.is_refused = is_refused
        self.details = details
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """An access token. Instants are in seconds of ``time.time``.

    Attributes:
        renew_at: from when the next token is requested.
        expires_at: from when it is no longer used.
    """

    text: str = field(repr=False)
    renew_at: float
    expires_at: float


def is_token(text: str) -> bool:
    """Return whether a text can be sent as a Bearer token: printable ASCII without spaces."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
