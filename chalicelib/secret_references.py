"""Settings by reference: a value that says where a secret is kept, and the reading of it.

``ssm:/punch-clock/prod/database-url`` is a parameter of SSM Parameter Store, SecureString or not;
``secretsmanager:NAME`` (or its ARN) a secret of Secrets Manager, ``file:PATH`` the text of a file;
with ``#MEMBER`` behind it, one member of what is a JSON object. Promises that no message has what
was read in it. Who keeps what was read, and for how long, is the container's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import UnavailableError
from chalicelib.settings import SettingsError, is_reference

# Answers after which the same question may be answered.
_PASSING = {
    "InternalServerError",
    "InternalServiceError",
    "InternalServiceErrorException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
}


def read(variable: str, value: str, client: Callable[[str], Any]) -> str:
    """Return what the value of a setting refers to; any other value is returned as it is.

    Args:
        variable: the setting's name, for messages.
        value: of the setting.
        client: makes a boto3 client of the service of that name.

    Raises:
        SettingsError: there is no such secret or file, it may not be read, or it is no text.
        UnavailableError: the secret's store does not answer now.
    """
    if not is_reference(value):
        return value
    kind, _, place = value.partition(":")
    name, _, member = place.partition("#")
    refers = f"{variable} refers to {value}, which"
    try:
        text = _text(kind, name, client)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _PASSING:
            raise UnavailableError("A secret of the service cannot be read now.") from error
        raise SettingsError(f"{refers} cannot be read: {code}") from None
    except BotoCoreError as error:
        raise UnavailableError("A secret of the service cannot be read now.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{refers} cannot be read: {type(error).__name__}") from None
    return _member(text, member, f"{refers} is no text")


def _text(kind: str, name: str, client: Callable[[str], Any]) -> str | None:
    """Return what is kept there, or None where it is no text."""
    if kind == "file":
        return Path(name).read_text(encoding="utf-8").strip()
    if kind == "ssm":
        found = client("ssm").get_parameter(Name=name, WithDecryption=True)
        return str(found["Parameter"]["Value"])
    secret: str | None = (
        client("secretsmanager").get_secret_value(SecretId=name).get("SecretString")
    )
    return secret


def _member(text: str | None, member: str, fault: str) -> str:
    """Return a secret, or one member of it where one is named."""
    if text is not None and member:
        try:
            text = json.loads(text)[member]
        except (ValueError, KeyError, TypeError):
            text = None
    if not isinstance(text, str):
        # Without a cause: that one would quote the secret.
        raise SettingsError(fault)
    return text
