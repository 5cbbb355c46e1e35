"""Parameter files, and the defaults that a search has found."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.integrator.limiter import from_settings, parameter_file
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.settings import Settings, SettingsError

ADOPTED = Path(__file__).parents[3] / "bench/evolve/adopted.json"


def written(directory: Path, content: Any) -> Path:
    path = directory / "parameters.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_values(**values: Any) -> dict[str, Any]:
    return {"policy": "adaptive", "parameters": asdict(Parameters()) | values}


def provenance() -> dict[str, Any]:
    section: dict[str, Any] = json.loads(ADOPTED.read_text())["provenance"]
    return section


def test_defaults_are_the_adopted_parameters() -> None:
    assert parameter_file.load(ADOPTED) == Parameters()


def test_adopted_parameters_are_the_winner_of_their_search() -> None:
    """It began with the numbers that it found; nothing better came of them."""
    held_out = provenance()["held_out"]
    assert asdict(Parameters()) in provenance()["starts"]
    assert held_out["evolved"]["fitness"] >= held_out["start"]["fitness"]
    assert held_out["evolved"]["fitness"] > held_out["classic"]["fitness"]


def test_each_parameter_that_was_set_by_hand_before_the_search_has_a_reason() -> None:
    changes = provenance()["set_by_hand"]
    assert changes
    for name, change in changes.items():
        assert change["evolved"] != getattr(Parameters(), name)
        assert change["reason"]


def test_defaults_are_within_their_bounds() -> None:
    for each in fields(Parameters):
        assert each.metadata["low"] <= each.default <= each.metadata["high"]
        assert each.metadata["unit"]


def test_valid_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, with_values(headroom=1.5, initial_limit=9))
    assert parameter_file.load(path) == replace(Parameters(), headroom=1.5, initial_limit=9)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"headroom": 9.0}, "headroom must be between 1 and 1.5, not 9.0"),
        ({"headroom": float("nan")}, "headroom must be a number, not nan"),
        ({"headroom": True}, "headroom must be a number, not True"),
        ({"headroom": "1.5"}, "headroom must be a number, not '1.5'"),
        ({"headroom": 10**400}, "headroom must be between"),
        ({"legroom": 1.5}, "legroom is not a parameter of adaptive"),
    ],
)
def test_error_names_the_file_and_the_invalid_parameter(
    tmp_path: Path, values: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SettingsError, match=r"parameters\.json") as raised:
        parameter_file.load(written(tmp_path, with_values(**values)))
    assert fault in str(raised.value)


def test_error_names_all_faults(tmp_path: Path) -> None:
    content = with_values(smoothing=0.0, speed=1.0)
    del content["parameters"]["headroom"]
    with pytest.raises(SettingsError) as raised:
        parameter_file.load(written(tmp_path, content))
    assert "headroom is missing; speed is not a parameter" in str(raised.value)
    assert "smoothing must be between" in str(raised.value)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "null", "\0", {}, {"policy": "classic"}, {"policy": "adaptive"}],
)
def test_content_that_is_no_parameter_file_is_rejected(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SettingsError, match=r"parameters\.json"):
        parameter_file.load(written(tmp_path, content))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.json"):
        parameter_file.load(tmp_path / "missing.json")


def test_limit_parameters_names_the_file_in_use(tmp_path: Path) -> None:
    path = written(tmp_path, with_values(initial_limit=13.0))
    settings = Settings(limit_policy="adaptive", limit_parameters=str(path))
    assert from_settings(settings)(lambda: 0.0).limit == 13.0


def test_limit_parameters_needs_the_policy_adaptive() -> None:
    with pytest.raises(SettingsError, match="LIMIT_PARAMETERS needs LIMIT_POLICY=adaptive"):
        Settings.from_env({"LIMIT_PARAMETERS": "x.json", "LIMIT_POLICY": "classic"})
    Settings.from_env({"LIMIT_PARAMETERS": "x.json", "LIMIT_POLICY": "adaptive"})
