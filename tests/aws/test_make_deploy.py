"""``make deploy`` passes each parameter of the template to CloudFormation."""

import re
import subprocess
from typing import Any

from deploy.companion import companion
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


def dry_run(variables: dict[str, str], target: str = "deploy") -> subprocess.CompletedProcess[str]:
    """Print the commands of a target of make without running them, as if .venv were up to date."""
    arguments = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "--no-print-directory", "-n", *BUILT, target, *arguments],
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


def test_make_changes_proposes_what_make_deploy_would_do_first() -> None:
    deploy, changes = (dry_run(VARIABLES, target).stdout for target in ("deploy", "changes"))
    proposed = changes.rstrip()
    assert proposed.endswith("--no-execute-changeset")
    assert deploy.startswith(proposed.removesuffix(" --no-execute-changeset"))


def test_make_chalice_deploy_makes_the_stack_beside_it_before_and_completes_it_after() -> None:
    done = dry_run({"STAGE": "test"}, "chalice-deploy")
    assert done.returncode == 0, done.stderr
    order = [
        "deploy preflight test",
        "deploy companion test",
        "ProtectTable=$protect FunctionsExist=false",
        "deploy chalice test deploy",
        "ProtectTable=true FunctionsExist=true",
    ]
    _, *calls = done.stdout.split("aws cloudformation deploy ")
    for call in calls:
        _, _, overrides = call.partition("--parameter-overrides")
        passed = set(re.findall(r"(\w+)=", overrides.partition("-m deploy")[0]))
        assert passed == set(companion("test")["Parameters"])
    places = [done.stdout.index(each) for each in order]
    assert places == sorted(places)
    assert done.stdout.count("--stack-name punch-clock-test ") == 2
