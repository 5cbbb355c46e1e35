"""Copy the issuer's keys to their table: what the schedule ``store-keys`` does.

Invariant: an invalid answer of the issuer never replaces the last good keys. A run may die at any
instant, and runs may overlap: the table has one set or the other.
"""

import logging
from collections.abc import Callable

from chalicelib.identity.jwk_set import JwkSetError, parse_jwk_set
from chalicelib.identity.key_table import KeyTable
from chalicelib.telemetry import ISSUER_KEYS, event


def copy_keys(fetch: Callable[[], bytes], table: KeyTable, now: Callable[[], float]) -> None:
    """Copy the keys, and log the age of those that the table has then.

    An issuer that is down or sends no usable keys is logged, and fails no run: an alarm watches the
    age.

    Args:
        fetch: returns the JWK Set that the issuer publishes, or raises ``JwkSetError``.
        table: where to store it.
        now: returns the seconds since the epoch.

    Raises:
        JwkSetError: the table cannot be read or written, or has no usable keys.
    """
    failure: JwkSetError | None = None
    asked_at = now()
    try:
        fetched = parse_jwk_set(fetch())
    except JwkSetError as error:
        failure = error
        event("the token issuer sent no usable keys", logging.WARNING, cause=error)
    else:
        table.write(fetched.text, asked_at, now())
    stored = table.read(consistent=True)
    event(
        ISSUER_KEYS,
        failed=int(failure is not None),
        age_s=max(0.0, round(now() - stored.fetched_at, 1)),
        keys=len(set(parse_jwk_set(stored.body).keys.values())),
    )
