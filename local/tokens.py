"""Make tokens as an identity provider does, signed with the key of a stack."""

import secrets
import time
from pathlib import Path
from typing import Any

import jwt

from chalicelib.principal import Role

_KEY_BYTES = 32


def key_file(home: Path) -> Path:
    """Return the path of the signing key of the stack on a directory."""
    return home / "jwt.key"


def make_key(home: Path) -> None:
    """Create the signing key of a stack, readable by its owner only, unless it exists."""
    path = key_file(home)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(f"{secrets.token_urlsafe(_KEY_BYTES)}\n")
    new.rename(path)


def read_key(home: Path) -> str:
    """Return the signing key of a stack.

    Raises:
        FileNotFoundError: no stack was ever started on that directory.
    """
    return key_file(home).read_text().strip()


def make_token(
    key: str,
    role: Role,
    employer_id: int | None = None,
    employee_id: int | None = None,
    *,
    lasts_s: float = 3_600,
    subject: str = "local",
) -> str:
    """Return a signed token of a principal, with the claim names that the settings default to."""
    now = int(time.time())
    claims: dict[str, Any] = {"sub": subject, "role": role.value, "iat": now}
    ids = {"employerId": employer_id, "employeeId": employee_id}
    claims |= {name: value for name, value in ids.items() if value is not None}
    return jwt.encode({**claims, "exp": now + int(lasts_s)}, key, algorithm="HS256")
