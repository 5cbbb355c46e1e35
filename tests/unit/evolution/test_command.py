"""``python -m bench.evolve``, end to end on a few small legacies."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.evolve.__main__ import main
from chalicelib.integrator.limiter import parameter_file
from chalicelib.integrator.limiter.parameters import Parameters

SMALL = [
    *("--families", "silent", "noisy", "--seed", "5"),
    *("--generations", "2", "--population", "4"),
    *("--draws", "1", "--finals", "1", "--held-out", "1"),
]


@pytest.mark.slow
def test_result_depends_neither_on_processes_nor_on_a_resume(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*SMALL, "--processes", "1", "--out", str(one)]) == 0
    in_steps = [*SMALL, "--processes", "2", "--out", str(two), "--steps", "4"]
    assert main(in_steps) == 3
    assert not two.exists()
    assert main([*in_steps, "--resume"]) == 0
    assert one.read_text() == two.read_text()


@pytest.mark.slow
def test_result_is_a_parameter_file_with_the_scores_of_its_baselines(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    assert main([*SMALL, "--processes", "1", "--out", str(path)]) == 0
    assert parameter_file.load(path)
    provenance = json.loads(path.read_text())["provenance"]
    assert provenance["starts"] == [asdict(Parameters())]  # the first population has the defaults
    held_out = provenance["held_out"]
    assert held_out.keys() == {"evolved", "random_search", "start", "defaults", "classic"}


@pytest.mark.slow
def test_resume_with_the_state_of_another_search_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, "--processes", "1", "--out", str(tmp_path / "x.json"), "--steps", "1"]
    assert main(arguments) == 3
    assert main([*arguments, "--seed", "6", "--resume"]) == 2
    assert "another search" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("step", ["0", "0.5", "wide"])
def test_first_step_has_to_be_within_its_bounds(tmp_path: Path, step: str) -> None:
    with pytest.raises(SystemExit):
        main([*SMALL, "--first-step", step, "--out", str(tmp_path / "x.json")])
