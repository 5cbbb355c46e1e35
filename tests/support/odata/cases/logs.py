"""Filters on logs."""

from datetime import timedelta

from tests.support.odata.cases.case import Case, everything, nothing, some

LOG_CASES: list[Case] = [
    ("point/employerId eq 1", lambda g: g.point.employerId == 1),
    ("point/employerId ne 1", lambda g: g.point.employerId != 1),
    ("not (point/employerId eq 1)", lambda g: g.point.employerId != 1),
    ("point/deviceId eq null", lambda g: g.point.deviceId is None),
    ("point/latitude gt 0 or httpStatus eq 503",
     lambda g: some(g.point.latitude, lambda x: x > 0) or g.httpStatus == 503),
    ("point/logs/any(x:x/status eq 'ERROR')",
     lambda g: any(x.status == "ERROR" for x in g.point.logs)),
    ("point/logs/$count gt 2", lambda g: len(g.point.logs) > 2),
    ("point/logs/all(x:x/number le $it/number)",
     lambda g: all(x.number <= g.number for x in g.point.logs)),
    ("point eq null", nothing),
    ("point ne null", everything),
    ("null ne point", everything),
    ("$it/point/status eq status", lambda g: g.point.status == g.status),
    ("log eq ''", lambda g: g.log == ""),
    ("length(log) gt 255", lambda g: len(g.log or "") > 255),
    ("httpStatus eq null", lambda g: g.httpStatus is None),
    ("httpStatus div 100 eq 5", lambda g: some(g.httpStatus, lambda h: h // 100 == 5)),
    ("httpStatus in (200,422)", lambda g: g.httpStatus in (200, 422)),
    ("latencyMs divby 1000 ge 12", lambda g: some(g.latencyMs, lambda ms: ms >= 12000)),
    ("number mod 2 eq 0", lambda g: g.number % 2 == 0),
    ("pointId eq point/id", everything),
    ("createdAt sub point/createdAt ge duration'PT2S'",
     lambda g: g.createdAt - g.point.createdAt >= timedelta(seconds=2)),
]  # fmt: skip
