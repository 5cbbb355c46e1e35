"""``make deploy`` passes each parameter of the template to CloudFormation."""

import re
import subprocess
from typing import Any

from local.child_process import PROJECT

VARIABLES = {
    "STAGE": "test",
    "BUCKET": "code",
    "SUBNETS": "subnet-1,subnet-2",
    "SECURITY_GROUPS": "sg-1",
    "JWKS_URL": "https://issuer.example/jwks.json",
    "JWT_ISSUER": "https://issuer.example",
    "JWT_AUDIENCE": "punch-clock",
}

# Targets that make is to take for up to date: nothing is installed here.
BUILT = [
    word for each in (".run", ".dev", "wheels/.downloaded") for word in ("-o", f".venv/{each}")
]


def dry_run(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Print the commands of ``make deploy`` without running them, as if .venv were up to date."""
    arguments = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "--no-print-directory", "-n", *BUILT, "deploy", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_make_deploy_passes_each_parameter_of_the_template(template: dict[str, Any]) -> None:
    done = dry_run(VARIABLES)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\s*\\\n\s*", " ", done.stdout) + " "
    # The first call creates the stack, with a table that a failure deletes; the second protects it.
    _, *calls = text.split("aws cloudformation deploy ")
    assert len(calls) == 2
    for call in calls:
        _, _, overrides = call.partition("--parameter-overrides")
        assert set(re.findall(r"(\w+)=", overrides)) == set(template["Parameters"])
    assert "ProtectTable=$protect" in calls[0]
    assert "ProtectTable=true" in calls[1]
    # The revision is computed from the same parameters, and a failure ends the deployment.
    computed = re.search(r"revision=\$\((.+?)\) && ", done.stdout, re.DOTALL)
    assert computed
    hashed = set(re.findall(r"(\w+)=", computed[1]))
    assert hashed == set(template["Parameters"]) - {"IntakeRevision", "ProtectTable"}
    assert "--stack-name punch-clock-test " in done.stdout
    assert "-m deploy package test" in done.stdout
    assert done.stdout.index("-m deploy preflight test --bucket code") < done.stdout.index(
        "-m deploy package"
    )


def test_make_deploy_stops_before_packaging_without_a_variable() -> None:
    for name in VARIABLES.keys() - {"STAGE"}:
        done = dry_run({each: value for each, value in VARIABLES.items() if each != name})
        assert done.returncode != 0
        assert f"Set {name}=" in done.stderr
        assert done.stdout == ""  # packaging has not started
