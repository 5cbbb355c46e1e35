"""``make deploy`` tells CloudFormation all that the template asks for."""

import re
import subprocess
from typing import Any

from local.process import PROJECT

TOLD = {
    "STAGE": "test",
    "BUCKET": "code",
    "SUBNETS": "subnet-1,subnet-2",
    "SECURITY_GROUPS": "sg-1",
    "JWKS_URL": "https://issuer.example/jwks.json",
    "JWT_ISSUER": "https://issuer.example",
    "JWT_AUDIENCE": "punch-clock",
}


def make(told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Have make say what it would do, as if all were set up."""
    arguments = [f"{name}={value}" for name, value in told.items()]
    return subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "deploy", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_each_parameter_is_given(template: dict[str, Any]) -> None:
    done = make(TOLD)
    assert done.returncode == 0, done.stderr
    _, _, overrides = done.stdout.partition("--parameter-overrides")
    assert set(re.findall(r"(\w+)=", overrides)) == set(template["Parameters"])
    assert "--stack-name punch-clock-test " in done.stdout
    assert "-m deploy test" in done.stdout


def test_what_is_not_said_is_asked_for() -> None:
    for name in set(TOLD) - {"STAGE"}:
        done = make({each: value for each, value in TOLD.items() if each != name})
        assert done.returncode != 0
        assert f"Say {name}=" in done.stderr
        assert done.stdout == ""  # nothing is packaged in vain
