"""The loopback interface is exempt from proxies; what the user exempts stays exempt."""

import os

import pytest

from local.loopback import bypass_proxies

OURS = "127.0.0.1,localhost"


@pytest.mark.parametrize(
    ("lower", "upper", "exempt", "exempt_upper"),
    [
        (None, None, OURS, OURS),
        ("hr.example", None, f"hr.example,{OURS}", f"hr.example,{OURS}"),
        (None, "hr.example", f"hr.example,{OURS}", f"hr.example,{OURS}"),
        ("a.example", "b.example", f"a.example,{OURS}", f"b.example,{OURS}"),
        (None, "*", "*", "*"),
    ],
)
def test_user_exempts_hosts_by_either_variable(
    lower: str | None,
    upper: str | None,
    exempt: str,
    exempt_upper: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    bypass_proxies()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (exempt, exempt_upper)
