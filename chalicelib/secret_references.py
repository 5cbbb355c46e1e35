"""Read settings whose value is a reference to where a secret is kept.

- ``ssm:NAME``: a parameter of SSM Parameter Store, SecureString or not
- ``secretsmanager:NAME``: a secret of Secrets Manager, by its name or ARN
- ``file:PATH``: the text of a file

``#MEMBER`` at the end selects one member of a JSON object. A byte order mark and the line breaks at
both ends do not belong to the text: editors and shells add them. Invariant: no error message quotes
the secret. ``container.resolved`` caches the values.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from chalicelib.errors import UnavailableError
from chalicelib.settings import SettingsError, is_reference

_BYTE_ORDER_MARK = "\ufeff"
# Statuses and error codes after which a retry may succeed. The codes are those of throttling and of
# clocks, and those with which SSM and Secrets Manager pass on that KMS is throttled or away.
_THROTTLED_STATUS, _SERVER_ERRORS = 429, range(500, 600)
_TRANSIENT = {
    "DependencyTimeoutException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalServerError",
    "InternalServiceError",
    "InternalServiceErrorException",
    "KMSInternalException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


class MissingFileError(SettingsError):
    """A setting refers to a file that does not exist."""


def read(
    variable: str,
    value: str,
    client: Callable[[str], Any],
    texts: dict[str, str | None] | None = None,
) -> str:
    """Return the text that the value of a setting refers to, or the value if it is not a reference.

    Args:
        variable: the name of the setting, for messages.
        value: the value of the setting.
        client: builds a boto3 client from the name of a service.
        texts: the texts that were already read, by their references; ``read`` adds to them. With
            it, settings that refer to members of one secret get them from one version of it.

    Raises:
        SettingsError: the secret or file does not exist, may not be read, is empty, or is not text.
        UnavailableError: the store of the secret does not respond now.
    """
    if not is_reference(value):
        return value
    place, _, member = value.partition("#")
    kind, _, name = place.partition(":")
    texts = {} if texts is None else texts
    subject = f"{variable} refers to {value}, which"
    try:
        text = texts[place] if place in texts else _text(kind, name, client)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if _is_transient(error.response, code):
            raise UnavailableError(
                "A secret of this service cannot be read now. Try again soon."
            ) from error
        raise SettingsError(f"{subject} cannot be read: {code}") from None
    except (BotoCoreError, ResponseParserError, KeyError, TypeError) as error:
        raise UnavailableError(
            "A secret of this service cannot be read now. Try again soon."
        ) from error
    except FileNotFoundError:
        raise MissingFileError(f"{subject} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{subject} cannot be read: {type(error).__name__}") from None
    texts[place] = text
    return _member(text, member, subject)


def _is_transient(response: Mapping[str, Any], code: str) -> bool:
    """Return whether the call may succeed later, from an error response."""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return code in _TRANSIENT or status == _THROTTLED_STATUS or status in _SERVER_ERRORS


def _text(kind: str, name: str, client: Callable[[str], Any]) -> str | None:
    """Return the text behind a reference; None if it is not text."""
    if kind == "file":
        return Path(name).read_text(encoding="utf-8")
    if kind == "ssm":
        response = client("ssm").get_parameter(Name=name, WithDecryption=True)
        return str(response["Parameter"]["Value"])
    secret: str | None = (
        client("secretsmanager").get_secret_value(SecretId=name).get("SecretString")
    )
    return secret


def _member(text: str | None, member: str, subject: str) -> str:
    """Return the text, or if ``member`` is given, that member of its JSON object.

    Raises:
        SettingsError: the member is missing, is not text, or is empty. The error has no cause,
            because the cause would quote the secret.
    """
    if text is not None and member:
        try:
            text = json.loads(text.removeprefix(_BYTE_ORDER_MARK))[member]
        except (ValueError, KeyError, TypeError):
            text = None
    if not isinstance(text, str):
        raise SettingsError(f"{subject} is not text")
    text = text.removeprefix(_BYTE_ORDER_MARK).strip("\r\n")
    if not text:
        raise SettingsError(f"{subject} is empty")
    return text
