"""``python -m bench.evolve``, from end to end on a few small legacies."""

import json
from pathlib import Path

import pytest

from bench.evolve.__main__ import main
from chalicelib.integrator.limiter import parameter_file

SMALL = [
    *("--policy", "windowed", "--families", "silent", "noisy", "--seed", "5"),
    *("--generations", "2", "--population", "4"),
    *("--draws", "1", "--finals", "1", "--held-out", "1"),
]


def test_it_writes_the_same_file_on_one_process_and_stopped_on_two(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*SMALL, "--processes", "1", "--out", str(one)]) == 0
    in_steps = [*SMALL, "--processes", "2", "--out", str(two), "--steps", "4"]
    assert main(in_steps) == 3
    assert not two.exists()
    assert main([*in_steps, "--resume"]) == 0
    assert one.read_text() == two.read_text()
    assert parameter_file.load("windowed", one)
    held_out = json.loads(one.read_text())["provenance"]["held_out"]
    peers = {"by_hand", "classic"}
    assert held_out.keys() == {"evolved", "random_search", "start"} | peers


def test_it_does_not_go_on_with_the_state_of_another_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, "--processes", "1", "--out", str(tmp_path / "x.json"), "--steps", "1"]
    assert main(arguments) == 3
    assert main([*arguments, "--seed", "6", "--resume"]) == 2
    assert "another search" in capsys.readouterr().out.replace("\n", " ")
