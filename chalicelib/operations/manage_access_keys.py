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

MEMBERS = ("name", "employerId", "employeeId", "days", "revoke", "before")
MAX_NAME_LENGTH = 100
MAX_DAYS = 730
DEFAULT_DAYS = 365
_MAX_LISTED = 1_000


def manage(
    command: Mapping[str, Any],
    by: str,
    store: AccessKeyStore,
    now: datetime,
    most: int = _MAX_LISTED,
) -> tuple[Any, dict[str, Any]]:
    """Carry out a command: with ``revoke`` revoke that id, with ``name`` make a key, else list.

    A command that makes a key makes another one each time. One whose response is lost has made a
    key that nobody can use; the list has it.

    Args:
        command: the members in ``MEMBERS``. A key without ``employeeId`` reads all records of the
            employer. ``days`` is how long it is valid. ``before`` lists the keys with smaller ids.
        by: the operator.
        store: the keys.
        now: the time, aware.
        most: how many keys one list has.

    Returns:
        The result, and the fields for the audit log. Only the result of a new key contains the key,
        and nothing can show it again.

    Raises:
        InvalidError: a member is missing, unexpected or out of range.
        NotFoundError: no key has the id.
    """
    given = {name for name in MEMBERS if command.get(name) is not None}
    for alone in ("revoke", "before"):
        if alone in given and given != {alone}:
            raise InvalidError(f"{alone} takes no other member.", target=alone)
    if "revoke" in given:
        key_id = _integer(command, "revoke", MAX_INT64)
        if not store.revoke(key_id, by):
            raise NotFoundError(f"No access key has the id {key_id}.", target="revoke")
        return {"revoked": key_id}, {"revoked": key_id}
    if is_listing(command):
        before = _integer(command, "before", MAX_INT64) if "before" in given else MAX_INT64
        keys = store.listed(before, most)
        return keys, {"listed": len(keys)}
    new = NewAccessKey(
        _name(command),
        _integer(command, "employerId", MAX_INT64),
        _integer(command, "employeeId", MAX_INT64) if "employeeId" in given else None,
        now
        + timedelta(days=_integer(command, "days", MAX_DAYS) if "days" in given else DEFAULT_DAYS),
    )
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    key_id = store.add(digest_of(key), new, by)
    described = {"id": key_id, "name": new.name, "expiresAt": to_text(new.expires_at)}
    return {**described, "key": key}, described


def is_listing(command: Mapping[str, Any]) -> bool:
    """Return whether a command only lists keys."""
    return all(command.get(name) is None for name in MEMBERS if name != "before")


def _name(command: Mapping[str, Any]) -> str:
    name = command.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidError(
            f"name must say what the key is for, in 1 to {MAX_NAME_LENGTH} characters.",
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
