"""Settings by reference: a value that says where a secret is kept, and the reading of it.

``ssm:/punch-clock/prod/database-url`` is a parameter of SSM Parameter Store, SecureString or not;
``secretsmanager:NAME`` (or its ARN) a secret of Secrets Manager, and ``secretsmanager:NAME#MEMBER``
one member of a secret that is a JSON object. Promises that no message has what was read in it. Who
keeps what was read, and for how long, is the container's.
"""

import json
from collections.abc import Callable
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
        SettingsError: there is no such secret, it may not be read, or it is no text.
        UnavailableError: the secret's store does not answer now.
    """
    if not is_reference(value):
        return value
    service, _, name = value.partition(":")
    try:
        if service == "ssm":
            found = client("ssm").get_parameter(Name=name, WithDecryption=True)
            return str(found["Parameter"]["Value"])
        name, _, member = name.partition("#")
        text = client("secretsmanager").get_secret_value(SecretId=name).get("SecretString")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _PASSING:
            raise UnavailableError("A secret of the service cannot be read now.") from error
        raise SettingsError(f"{variable} refers to {value}, which cannot be read: {code}") from None
    except BotoCoreError as error:
        raise UnavailableError("A secret of the service cannot be read now.") from error
    return _member(text, member, f"{variable} refers to {value}, which is no text")


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
