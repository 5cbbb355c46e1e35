"""Every kind of fault: inject it, hold it for some seconds, and repair it."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.proxy import Mode
from tests.chaos.system import BEYOND_LEASES_S, System

_STACK = ("api", "postgres", "replicate", "integrate")
_READ_ONLY = "ALTER DATABASE {} SET default_transaction_read_only = {}"
_CUT_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. ``happen`` injects it, holds it and repairs it."""

    name: str
    happen: Callable[[System], None]
    needs_small_disk: bool = False


def all_faults(chance: random.Random) -> list[Fault]:
    """Return each kind of fault once. The chance decides how often and how long it happens."""
    faults = [Fault(f"kill {name}", _kill(name, chance)) for name in (*_STACK, "dynamodb")]
    faults += [
        Fault("kill legacy", _kill("legacy", chance)),
        Fault("kill supervisor", lambda system: system.kill("supervisor")),
    ]
    faults += [
        Fault(f"freeze {name}", _freeze(name, chance)) for name in (*_STACK, "dynamodb", "legacy")
    ]
    for name in ("dynamodb", "legacy"):
        for mode in (Mode.CUT, Mode.SILENT, Mode.LOST_RESPONSES):
            title = f"{name}: {mode.name.lower().replace('_', ' ')}"
            faults.append(Fault(title, _network(name, mode, chance)))
    return [
        *faults,
        Fault("postgres: sessions cut", lambda system: _cut_sessions(system, chance)),
        Fault("postgres: read-only", _read_only),
        Fault("legacy: 500 and lost replies", lambda system: _odd_legacy(system, chance)),
        Fault("disk full", _fill_disk, needs_small_disk=True),
    ]


def _kill(name: str, chance: random.Random) -> Callable[[System], None]:
    def happen(system: System) -> None:
        for _ in range(chance.randint(1, 3)):
            system.kill(name)
            time.sleep(chance.uniform(0.1, 2.0))

    return happen


def _freeze(name: str, chance: random.Random) -> Callable[[System], None]:
    def happen(system: System) -> None:
        with system.frozen(name):
            time.sleep(chance.choice((1.0, BEYOND_LEASES_S)))

    return happen


def _network(name: str, mode: Mode, chance: random.Random) -> Callable[[System], None]:
    def happen(system: System) -> None:
        proxy = system.proxies[name]
        proxy.set(mode)
        time.sleep(chance.uniform(1.0, 6.0))
        proxy.set(Mode.PASS)

    return happen


def _cut_sessions(system: System, chance: random.Random) -> None:
    for _ in range(chance.randint(3, 10)):
        system.run_sql(_CUT_SESSIONS)
        time.sleep(chance.uniform(0.05, 0.5))


def _read_only(system: System) -> None:
    """Do as a fail-over does: sessions that began on the standby stay read-only after it."""
    name = system.database
    system.run_sql(_READ_ONLY.format(name, "on"), _CUT_SESSIONS)
    time.sleep(3)
    system.run_sql("SET default_transaction_read_only = off", _READ_ONLY.format(name, "off"))


def _odd_legacy(system: System, chance: random.Random) -> None:
    system.set_legacy(error_rate=chance.uniform(0, 0.4), lost_reply_rate=chance.uniform(0, 0.4))
    time.sleep(4)
    system.set_legacy(error_rate=0, lost_reply_rate=0)


def _fill_disk(system: System) -> None:
    """Fill the file system of the stack's data, hold it full, and free it."""
    ballast = system.data / "ballast"
    block = bytes(2**20)
    try:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(block)
            except OSError:
                while _writes(file, b"\0"):
                    pass
        time.sleep(5)
    finally:
        ballast.unlink()


def _writes(file: object, block: bytes) -> bool:
    try:
        return bool(file.write(block))  # type: ignore[attr-defined]
    except OSError:
        return False
