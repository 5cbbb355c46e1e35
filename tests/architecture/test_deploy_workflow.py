"""The workflow that deploys is valid, and agrees with the Makefile and the pinned runtime."""

import re
import subprocess
import sys
from pathlib import Path

from deploy.runtime import RUNTIME, version
from local.child_process import PROJECT

WORKFLOWS = PROJECT / ".github" / "workflows"
TEXT = (WORKFLOWS / "deploy.yml").read_text(encoding="utf-8")


def test_workflows_match_the_schema_of_github() -> None:
    done = subprocess.run(
        [
            Path(sys.executable).parent / "check-jsonschema",
            *("--builtin-schema", "vendor.github-workflows"),
            *sorted(WORKFLOWS.glob("*.yml")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_workflow_packages_with_the_pinned_python() -> None:
    versions = set(re.findall(r'python-version: "(.+?)"', TEXT))
    assert versions == {version(RUNTIME)}


def test_workflow_passes_each_argument_that_make_requires() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (required,) = re.findall(r"^REQUIRED := (.+)$", makefile, re.MULTILINE)
    assert required.split()
    for name in [*required.split(), "CLOUDFORMATION_ROLE"]:
        assert f"{name}: ${{{{ vars.{name} }}}}" in TEXT
        assert f"$({name})" in makefile or name in required


def test_workflow_shows_the_changes_before_another_job_executes_them() -> None:
    changes, execute = TEXT.split("\n  execute:\n")
    assert "GITHUB_STEP_SUMMARY" in changes
    assert "environment: ${{ inputs.stage }}-changes\n" in changes
    assert "make --environment-overrides changes" in changes
    assert "deploy execute" not in changes
    assert "needs: changes" in execute
    assert "environment: ${{ inputs.stage }} #" in execute


def test_workflow_has_no_secret_and_writes_no_input_into_a_script() -> None:
    assert "secrets." not in TEXT
    scripts = re.findall(r"run: (?:\|\n(?: {10}.*\n)+|.+)", TEXT)
    assert scripts
    assert not [each for each in scripts if "${{" in each]
