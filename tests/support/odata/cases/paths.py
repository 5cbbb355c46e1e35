"""Filters with paths, lambdas, counts and casts."""

from datetime import UTC, date, datetime, time
from typing import Any

from tests.support.odata.cases.case import Case, everything, nothing, some
from tests.support.odata.reference import rounded


def _found(log: Any, term: str) -> bool:
    """Return whether ``$search`` finds a term in a log."""
    return term in (log.log or "").casefold()


PATHS: list[Case] = [
    ("logs/any()", lambda r: bool(r.logs)),
    ("not logs/any()", lambda r: not r.logs),
    ("not (logs/any())", lambda r: not r.logs),
    ("logs/any() eq false", lambda r: not r.logs),
    ("logs/any(l:l/status eq 'ERROR')", lambda r: any(g.status == "ERROR" for g in r.logs)),
    ("logs/ANY(l : l/status eq 'ERROR' )", lambda r: any(g.status == "ERROR" for g in r.logs)),
    ("logs/all(l:l/status ne 'ERROR')", lambda r: all(g.status != "ERROR" for g in r.logs)),
    ("logs/All(l:l/httpStatus gt 100)",
     lambda r: all(some(g.httpStatus, lambda h: h > 100) for g in r.logs)),
    ("logs/all(l:contains(l/log,'e'))", lambda r: all("e" in (g.log or "") for g in r.logs)),
    ("logs/any(l:l/log eq null)", lambda r: any(g.log is None for g in r.logs)),
    ("logs/any(l:l/status eq status)", lambda r: any(g.status == r.status for g in r.logs)),
    ("logs/any(l:l/status eq $it/status)", lambda r: any(g.status == r.status for g in r.logs)),
    ("logs/any(status:status/status eq 'ERROR')",
     lambda r: any(g.status == "ERROR" for g in r.logs)),
    ("logs/any(l:l/pointId eq id)", lambda r: bool(r.logs)),
    ("logs/any(a:logs/any(b:b/number gt a/number))", lambda r: len(r.logs) > 1),
    ("logs/any(a:logs/all(b:b/latencyMs le a/latencyMs))",
     lambda r: any(
         all(
             a.latencyMs == b.latencyMs
             or (None not in (a.latencyMs, b.latencyMs) and b.latencyMs <= a.latencyMs)
             for b in r.logs
         )
         for a in r.logs
     )),
    ("logs/any(l:l/point/employerId eq 1)", lambda r: r.employerId == 1 and bool(r.logs)),
    ("logs/any(l:l/point eq $it)", lambda r: bool(r.logs)),
    ("logs/any(l:l/point/logs/$count eq 4)", lambda r: len(r.logs) == 4),
    ("logs/any(l:l/point/logs/any(m:m/number ne l/number))", lambda r: len(r.logs) > 1),
    ("logs/$count eq 2", lambda r: len(r.logs) == 2),
    ("logs/$count gt 0", lambda r: bool(r.logs)),
    ("logs/$count eq 0", lambda r: not r.logs),
    ("not (logs/$count ge 1)", lambda r: not r.logs),
    ("logs/$count lt attempts", lambda r: len(r.logs) < r.attempts),
    ("logs/$count add 1 eq 3", lambda r: len(r.logs) == 2),
    ("logs/$count in (1,4)", lambda r: len(r.logs) in (1, 4)),
    ("logs/$filter(status eq 'ERROR')/$count gt 0",
     lambda r: any(g.status == "ERROR" for g in r.logs)),
    ("logs/$filter(status eq $it/status)/$count eq 1",
     lambda r: sum(g.status == r.status for g in r.logs) == 1),
    ("logs/$count($filter=httpStatus eq null) ge 2",
     lambda r: sum(g.httpStatus is None for g in r.logs) >= 2),
    ("logs/$count($search=timeout) ge 1", lambda r: any(_found(g, "timeout") for g in r.logs)),
    ("logs/$count($search=NOT timeout OR \"a;b)\";$filter=attempt gt 0 or log eq null) add 1 eq 3",
     lambda r: sum(
         not _found(g, "timeout") and (g.attempt > 0 or g.log is None) for g in r.logs) == 2),
    ("logs/$count(filter=(attempt gt 1);SEARCH=Timeout) eq 0 and attempts ge 0",
     lambda r: not any(_found(g, "timeout") and g.attempt > 1 for g in r.logs)),
    ("logs/any(l:l/point/logs/$count($search=timeout;$filter=attempt eq $it/attempts) gt 0)",
     lambda r: any(_found(g, "timeout") and g.attempt == r.attempts for g in r.logs)),
    ("logs/$filter(point/employerId eq 1 and $this/attempt gt 0)/$count eq 1",
     lambda r: r.employerId == 1 and sum(g.attempt > 0 for g in r.logs) == 1),
    ("$it/status eq 'ERROR'", lambda r: r.status == "ERROR"),
    ("$it eq $it", everything),
    ("$it ne null", everything),
    ("$this/status eq 'ERROR'", lambda r: r.status == "ERROR"),
    ("PunchClock.PointRecord/status eq 'ERROR'", lambda r: r.status == "ERROR"),
    ("logs/PunchClock.IntegrationLog/any(g:g/attempt eq 1)",
     lambda r: any(g.attempt == 1 for g in r.logs)),
    ("logs/PunchClock.IntegrationLog/$count eq 2", lambda r: len(r.logs) == 2),
    ("isof(PunchClock.PointRecord)", everything),
    ("isof($it,PunchClock.IntegrationLog)", nothing),
    ("logs/any(l:isof(PunchClock.PointRecord))", lambda r: r.logs != []),
    ("logs/$count($filter=isof(PunchClock.IntegrationLog)) eq 1", lambda r: len(r.logs) == 1),
    ("id eq id", everything),
    ("id gt 80000000-0000-0000-0000-000000000000", lambda r: r.id.int >= 1 << 127),
    ("id ne 80000000-0000-0000-0000-000000000000", everything),
]  # fmt: skip

# Types, and texts that have a value of the type, whether Postgres or Python reads them.
CAST_TEXTS = [
    ("DateTimeOffset", "2026-11-20T08:00:00+16:00"),
    ("DateTimeOffset", "2026-11-20t08:00:00.1234567-23:59"),
    ("DateTimeOffset", "2026-11-20T08:00 03:00"),
    ("DateTimeOffset", "2026-11-20T20:59:60.5-03:00"),
    ("DateTimeOffset", "9999-12-31T23:59:59.999999Z"),
    ("Double", "5e-324"),
    ("Double", "0e-400"),
    ("Decimal", "-1e2"),
    ("Decimal", "1.5E-300"),
    ("Duration", "-P1DT2H3M4.1234567S"),
    ("Duration", "P999999999D"),
    ("Byte", "255"),
    ("SByte", "-128"),
]
# Those that have none.
CAST_TO_NULL = [
    ("DateTimeOffset", "9999-12-31T23:59:59-03:00"),
    ("DateTimeOffset", "9999-12-31T23:59:60Z"),
    ("DateTimeOffset", "0001-01-01T00:00:00+03:00"),
    ("DateTimeOffset", "2026-11-20T08:00:00+24:00"),
    ("DateTimeOffset", "2026-11-20T20:58:60-03:00"),
    ("Double", "1e-400"),
    ("Double", "1e400"),
    ("Double", "1" * 400),
    ("Decimal", "INF"),
    ("Decimal", "1e5000"),
    ("Duration", "P1000000000D"),
    ("Duration", "-P999999999DT23H"),
    ("Byte", "256"),
    ("SByte", "-129"),
]

CASTS: list[Case] = [
    ("cast(attempts,Edm.String) eq '7'", lambda r: r.attempts == 7),
    ("cast(deviceId,Edm.Int32) eq 42", lambda r: r.deviceId == "42"),
    ("cast(deviceId,Edm.Int64) lt 0", lambda r: r.deviceId == "-7"),
    ("cast(deviceId,Edm.Date) eq 2026-02-03", lambda r: r.deviceId == "2026-02-03"),
    ("cast(deviceId,Edm.Boolean)", lambda r: r.deviceId == "true"),
    ("cast(deviceId,Edm.Decimal) eq 1.5", lambda r: r.deviceId == "1.5"),
    ("cast(deviceId,Edm.Double) eq null",
     lambda r: r.deviceId not in ("42", "-7", "1.5")),
    ("cast('2026-01-01T00:00:00Z',Edm.DateTimeOffset) eq includedAt",
     lambda r: r.includedAt == datetime(2026, 1, 1, tzinfo=UTC)),
    ("cast('2026-01-01',Edm.Date) eq date(includedAt)",
     lambda r: r.includedAt.date() == date(2026, 1, 1)),
    ("cast('2026-02-30',Edm.Date) eq null", everything),
    ("cast('7',Edm.Int16) eq attempts", lambda r: r.attempts == 7),
    ("cast('300',Edm.Byte) eq null", everything),
    ("cast(employeeId,Edm.Int32) eq null", lambda r: r.employeeId >= 2**31),
    ("cast(latitude,Edm.Int32) eq 3", lambda r: some(r.latitude, lambda x: rounded(x) == 3)),
    ("cast(accuracyMeters,Edm.Int64) eq null", lambda r: r.accuracyMeters in (None, 1e20)),
    ("cast(attempts,Edm.Double) div 2 eq 3.5", lambda r: r.attempts == 7),
    ("cast(attempts,Edm.Decimal) div 2 eq 3.5", lambda r: r.attempts == 7),
    ("cast(null,Edm.String) eq null", everything),
    ("cast(status,Edm.String) eq 'ERROR'", lambda r: r.status == "ERROR"),
    ("startswith(cast(includedAt,Edm.String),'2026-02')",
     lambda r: (r.includedAt.year, r.includedAt.month) == (2026, 2)),
    ("startswith(cast(id,Edm.String),'0')", lambda r: str(r.id).startswith("0")),
    *((f"cast('{text}',Edm.{of}) eq cast(concat('{text}',substring(status,0,0)),Edm.{of})",
       everything) for of, text in CAST_TEXTS),
    *((f"cast('{text}',Edm.{of}) eq null", everything) for of, text in CAST_TO_NULL),
    *((f"cast(concat('{text}',substring(status,0,0)),Edm.{of}) eq null", everything)
      for of, text in CAST_TO_NULL),
    ("isof(deviceId,Edm.String)", everything),
    ("isof(deviceId,Edm.Int32)", lambda r: r.deviceId in (None, "42", "-7")),
    ("isof(includedAt,Edm.Int32)", nothing),
    ("isof(cast(deviceId,Edm.Date),Edm.Date)", everything),
    ("isof(cast(attempts,Edm.String),Edm.String)", everything),
    ("case(attempts eq 10:20,true:30) eq 30", everything),
    ("case(attempts ge 00:20,true:30) eq 20", everything),
    ("case(attempts lt 10:20:30,true:12:00) eq 20:30", everything),
    ("case(time(includedAt) ge 00:00:7,true:8) eq 7", everything),
    ("case(time(includedAt) ge 00:00:00:(7),true:8) eq 7", everything),
    ("case(10:20 eq time(includedAt):1,concat('a:',status) eq ':':2,attempts ge 00:3) eq 3",
     lambda r: r.includedAt.time() != time(10, 20)),
    ("case(attempts gt 2:'many',attempts eq 0:'none',true:'few') eq 'few'",
     lambda r: r.attempts in (1, 2)),
    ("case(attempts gt 2:1) eq null", lambda r: r.attempts <= 2),
    ("case(latitude gt 0:1,true:2.5) eq 2.5", lambda r: not some(r.latitude, lambda x: x > 0)),
]  # fmt: skip
