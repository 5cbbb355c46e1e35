"""Make, list and revoke access keys, for reports that read without a person: docs/analysts.md."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.access_key import PREFIX, RANDOM_BYTES, digest_of
from chalicelib.errors import InvalidError, NotFoundError
from chalicelib.instant import to_text
from chalicelib.point_record import MAX_INT64
from chalicelib.postgres.access_key_store import AccessKeyStore, NewAccessKey

MEMBERS = ("name", "employerId", "employeeId", "days", "revoke")
_MAX_NAME_LENGTH = 100
_MAX_DAYS = 730
_DEFAULT_DAYS = 365


def manage(
    command: Mapping[str, Any], by: str, store: AccessKeyStore, now: datetime
) -> tuple[Any, dict[str, Any]]:
    """Carry out a command: with ``revoke`` revoke that id, with ``name`` make a key, else list.

    Args:
        command: the members in ``MEMBERS``. A key without ``employeeId`` reads all records of the
            employer. ``days`` is how long it is valid.
        by: the operator.
        store: the keys.
        now: the time, aware.

    Returns:
        The result, and the fields for the audit log. Only the result of a new key contains the key,
        and nothing can show it again.

    Raises:
        InvalidError: a member is missing, unexpected or out of range.
        NotFoundError: no key has the id.
    """
    given = {name for name in MEMBERS if command.get(name) is not None}
    if "revoke" in given:
        if given != {"revoke"}:
            raise InvalidError("revoke takes no other member.", target="revoke")
        key_id = _integer(command, "revoke", MAX_INT64)
        if not store.revoke(key_id, by):
            raise NotFoundError(f"No access key has the id {key_id}.", target="revoke")
        return {"revoked": key_id}, {"revoked": key_id}
    if not given:
        keys = store.listed()
        return keys, {"listed": len(keys)}
    new = NewAccessKey(
        _name(command),
        _integer(command, "employerId", MAX_INT64),
        _integer(command, "employeeId", MAX_INT64) if "employeeId" in given else None,
        now
        + timedelta(
            days=_integer(command, "days", _MAX_DAYS) if "days" in given else _DEFAULT_DAYS
        ),
    )
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    key_id = store.add(digest_of(key), new, by)
    described = {"id": key_id, "name": new.name, "expiresAt": to_text(new.expires_at)}
    return {**described, "key": key}, described


def _name(command: Mapping[str, Any]) -> str:
    name = command.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= len(name) <= _MAX_NAME_LENGTH:
        raise InvalidError(
            f"name must say what the key is for, in 1 to {_MAX_NAME_LENGTH} characters.",
            target="name",
        )
    if not name.isprintable():
        raise InvalidError("name must be one line of printable text.", target="name")
    return name


def _integer(command: Mapping[str, Any], name: str, most: int) -> int:
    value = command.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidError(f"{name} must be an integer from 1 to {most}.", target=name)
    return value
