"""The documents of operators agree with the deployment's configuration and the capacity model."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from deploy.capacity.costs import monthly
from deploy.capacity.facts import limit, measured, regions
from deploy.capacity.plot import shift_change_svg
from deploy.capacity.shift_change import simulate
from deploy.capacity.tables import SHIFT_S, deployed, need, tables
from local.child_process import PROJECT
from tests.support.deployed_template import CHALICE, FUNCTIONS, PROD, ROUTES


def document(name: str) -> str:
    return (PROJECT / "docs" / name).read_text(encoding="utf-8")


CAPACITY, DEPLOYMENT, OPERATIONS = map(document, ("capacity.md", "deployment.md", "operations.md"))


@pytest.mark.slow
def test_capacity_tables_match_the_capacity_model() -> None:
    text = tables(regions())
    print(text)  # on failure, copy these tables into the document
    assert [each for each in text.split("\n\n") if each.strip() not in CAPACITY] == []


def test_picture_of_the_shift_change_matches_the_capacity_model() -> None:
    """On failure: ``.venv/bin/python -m deploy.capacity --plot docs/shift-change.svg``."""
    picture = PROJECT / "docs/shift-change.svg"
    assert picture.read_text(encoding="utf-8") == shift_change_svg()
    assert f"({picture.name})" in CAPACITY


def test_readme_has_the_simulated_shift_change() -> None:
    result = simulate(100_000, SHIFT_S, deployed())
    figures = (
        f"accepted in {result.accepted_in_s:.1f} s, {result.refused:,} answers refused,"
        f" at most {result.most_refusals} of one phone;"
        f" replicated in {result.replicated_in_s:.0f} s"
    )
    assert figures in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_deployment_has_what_a_shift_change_of_100000_needs() -> None:
    has, needed = deployed(), need(100_000)
    assert needed.deployment.warm == has.warm == 0
    assert has.reserved >= needed.deployment.reserved
    assert has.warm_writes >= needed.deployment.warm_writes
    assert has.gateway_per_s >= needed.deployment.gateway_per_s
    assert has.gateway_burst >= needed.deployment.gateway_burst
    # The table takes what all environments and the replicator write at most.
    per_environment = limit("Lambda, requests a second and environment")
    assert has.warm_writes >= has.reserved * per_environment + measured("replication")


def test_a_faster_legacy_lowers_the_cost_of_lambda_and_no_other_cost() -> None:
    slow, fast = (monthly(1e6, rate, "us-east-1") for rate in (20, 40))
    assert slow["Lambda"] > fast["Lambda"]
    assert {**slow, "Lambda": 0} == {**fast, "Lambda": 0}


def test_twice_the_records_cost_less_than_twice_as_much() -> None:
    once, twice = (monthly(records, 20, "us-east-1") for records in (1e6, 2e6))
    assert sum(once.values()) < sum(twice.values()) < 2 * sum(once.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_table_has_memory_timeout_and_reserved_concurrency(function: str) -> None:
    name = "routes" if function == ROUTES else f"`{function}`"
    rows = [each for each in DEPLOYMENT.splitlines() if each.startswith("| ") and name in each[:60]]
    bounds = PROD["lambda_functions"][function]
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", rows[0])}
    assert {
        bounds["lambda_memory_size"],
        bounds["lambda_timeout"],
        bounds["reserved_concurrency"],
    } <= numbers


def test_document_names_each_secret() -> None:
    values = PROD["environment_variables"].values()
    secrets = [value.rpartition("/")[2] for value in values if value.startswith("ssm:")]
    assert secrets
    assert [name for name in secrets if f"`{name}`" not in DEPLOYMENT] == []


def test_document_names_each_alarm_that_is_not_of_a_function() -> None:
    resources = json.loads((CHALICE / "resources.json").read_text())["Resources"]
    alarms = {name for name, each in resources.items() if each.get("Type", "").endswith("::Alarm")}
    of_functions = {name for name in alarms if re.search("(Errors|Throttles|Duration)Alarm$", name)}
    others = alarms - of_functions
    assert others
    assert [name for name in others if name.removesuffix("Alarm") not in OPERATIONS] == []


def test_document_has_the_sum_of_the_reserved_concurrency() -> None:
    reserved = sum(each["reserved_concurrency"] for each in PROD["lambda_functions"].values())
    assert f"{reserved:,} are reserved" in DEPLOYMENT
    (quota,) = re.findall(r"a quota of at least ([\d,]+) concurrent executions", DEPLOYMENT)
    unreserved = limit("Lambda, unreserved concurrency")
    assert reserved + unreserved <= int(quota.replace(",", "")) <= reserved + 2 * unreserved


SHELLS = [each for each in ("sh", "bash", "zsh") if shutil.which(each)]


def invoke(shell: str, directory: Path, cli: str) -> "subprocess.Popen[str]":
    """Start the documented ``invoke`` in a shell, with a script in place of the AWS CLI."""
    (block,) = re.findall(r"^```sh\n(invoke\(\) .*?\n)\n", OPERATIONS, re.MULTILINE | re.DOTALL)
    (directory / "bin").mkdir()
    aws = directory / "bin/aws"
    aws.write_text(f"#!/bin/sh\n{cli}\n")
    aws.chmod(0o755)
    (directory / "tmp").mkdir()
    script = f'{block}\nprintf \'{{"token": "secret"}}\' | invoke replay'
    return subprocess.Popen(
        [shell, "-c", script],
        env={
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(directory / "tmp"),
        },
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell does not trap a signal that was ignored when it started, as in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_documented_invoke_sends_the_event_and_returns_the_status_of_the_cli(
    shell: str, tmp_path: Path
) -> None:
    read_event = r"""for each; do case $each in file://*) cat "${each#file://}";; esac; done"""
    with invoke(shell, tmp_path, f'echo "$4"; {read_event}; exit 254') as process:
        output, _ = process.communicate(timeout=20)
    assert output == 'punch-clock-prod-replay\n{"token": "secret"}'
    assert process.returncode == 254
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_documented_invoke_that_is_interrupted_leaves_no_token(shell: str, tmp_path: Path) -> None:
    with invoke(shell, tmp_path, "echo called; exec sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "called\n"
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait(20)
    deadline = time.monotonic() + 20
    while list((tmp_path / "tmp").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
