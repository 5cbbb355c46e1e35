"""Leases in ``integrator_state``: of one name, one holder at a time.

Invariant: a lease expires on its own, so nothing has to clean up after a holder that died.

Every instant comes from the database's clock, so no machine's clock matters. If that clock was
ahead for a while, a lease of that time may reach further than the longest of its name may. Then it
counts as expired.
"""

from dataclasses import dataclass

from pg8000.native import Connection

# Take a lease that nobody has, or that is taken by force.
#
#   run A ── take ─── renew ──── renew ──── (dies)
#   run B ── refused ─ refused ─ refused ─────────── lease expired: take
_TAKE = """
INSERT INTO integrator_state AS state (name, run_id, leased_until)
VALUES (
    :name, CAST(:holder AS uuid), now() + CAST(:lease_s AS float8) * interval '1 second'
)
ON CONFLICT (name) DO UPDATE
SET run_id = EXCLUDED.run_id, leased_until = EXCLUDED.leased_until
WHERE state.leased_until <= now()
   OR state.leased_until > now() + CAST(:longest_s AS float8) * interval '1 second'
   OR CAST(:by_force AS boolean)
RETURNING 1
"""
# End a lease, unless another holder has taken it.
_END = """
UPDATE integrator_state SET leased_until = now()
WHERE name = :name AND run_id = CAST(:holder AS uuid)
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """What one holder at a time may have. The caller owns the transactions.

    Attributes:
        name: the key of its row.
        longest_s: no holder takes it for longer.
    """

    name: str
    longest_s: float

    def take(
        self, connection: Connection, holder: str, lease_s: float, *, by_force: bool = False
    ) -> bool:
        """Take the lease, and return whether this holder has it now.

        Args:
            connection: the connection.
            holder: a UUID.
            lease_s: after how many seconds it expires.
            by_force: take it also from a holder that has it.
        """
        return bool(
            connection.run(
                _TAKE,
                name=self.name,
                holder=holder,
                lease_s=lease_s,
                longest_s=self.longest_s,
                by_force=by_force,
            )
        )

    def end(self, connection: Connection, holder: str) -> None:
        """End the lease, if this holder still has it."""
        connection.run(_END, name=self.name, holder=holder)


# How long the integrator stands still if a restore dies: longer than an invocation, so that it
# stands still until the restore is continued.
RESTORE_PAUSE_S = 3_600.0
# The active run of the integrator. The longest lease is a restore's. A minute more, since the
# transaction that compares may have begun before the one that took the lease.
INTEGRATOR = Lease("integrator", RESTORE_PAUSE_S + 60)
# The one erasure at a time. None lasts longer than a function may, 900 s.
ERASURE = Lease("erasure", 960)
