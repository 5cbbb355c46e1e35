"""What outlives an invocation measures by the wall clock.

Lambda freezes an environment between invocations, and its monotonic clock may stop meanwhile: a
pause of a minute could then last for hours. Within one invocation, the monotonic clock is right.
"""

from local.child_process import PROJECT

OF_ONE_RUN = {"delete_pace.py", "integrator/run.py"}


def test_only_objects_of_one_run_have_a_monotonic_clock_by_default() -> None:
    deployed = PROJECT / "chalicelib"
    monotonic = {
        str(path.relative_to(deployed))
        for path in deployed.rglob("*.py")
        if "= time.monotonic," in path.read_text(encoding="utf-8")
    }
    assert monotonic == OF_ONE_RUN
