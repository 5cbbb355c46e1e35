"""Parameter files: what is deployed fits, and what does not fit says why."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chalicelib.integrator.limit.trials import Trials
from chalicelib.integrator.limit.windowed import WindowedParameters
from chalicelib.integrator.limiter.factory import limiter

from chalicelib.integrator.limiter import POLICIES, parameter_file
from chalicelib.settings import Settings, SettingsError


def clock() -> float:
    return 0.0


def written(directory: Path, content: Any) -> Path:
    path = directory / "parameters.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_values(**values: Any) -> dict[str, Any]:
    return {"policy": "windowed", "parameters": asdict(WindowedParameters()) | values}


@pytest.mark.parametrize("policy", parameter_file.EVOLVED)
def test_what_is_deployed_fits_and_is_used(policy: str) -> None:
    parameters = parameter_file.deployed(policy)
    assert parameters != parameter_file.EVOLVED[policy]()
    assert POLICIES[policy](clock).limit == POLICIES[policy](clock, parameters=parameters).limit


@pytest.mark.parametrize("policy", parameter_file.EVOLVED)
def test_what_is_deployed_says_where_it_comes_from(policy: str) -> None:
    path = Path(parameter_file.__file__).with_name(f"{policy}.json")
    provenance = json.loads(path.read_text())["provenance"]
    held_out = provenance["held_out"]
    assert provenance["plan"]["policy"] == policy
    assert held_out["evolved"]["fitness"] > held_out["start"]["fitness"]
    assert {"random_search", "classic"} < held_out.keys()


def test_a_file_that_fits_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, with_values(grow=1.5, initial=9))
    assert parameter_file.load("windowed", path) == WindowedParameters(grow=1.5, initial=9)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"grow": 9.0}, "grow must be between 1.002 and 2.0, not 9.0"),
        ({"grow": float("nan")}, "grow must be a number, not nan"),
        ({"grow": True}, "grow must be a number, not True"),
        ({"grow": "1.5"}, "grow must be a number, not '1.5'"),
        ({"grow": 10**400}, "grow must be between"),
        ({"grows": 1.5}, "grows is not a parameter of windowed"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    tmp_path: Path, values: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SettingsError, match=r"parameters\.json") as raised:
        parameter_file.load("windowed", written(tmp_path, with_values(**values)))
    assert fault in str(raised.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    content = with_values(slow=0.0, speed=1.0)
    del content["parameters"]["shrink"]
    with pytest.raises(SettingsError) as raised:
        parameter_file.load("windowed", written(tmp_path, content))
    assert "shrink is missing; speed is not a parameter" in str(raised.value)
    assert "slow must be between" in str(raised.value)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "null", "\0", {}, {"policy": "evolved"}, {"policy": "windowed"}],
)
def test_a_file_that_is_none_of_this_policy_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SettingsError, match=r"parameters\.json"):
        parameter_file.load("windowed", written(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.json"):
        parameter_file.load("windowed", tmp_path / "missing.json")


def test_a_file_of_the_operators_own_is_used(tmp_path: Path) -> None:
    path = written(tmp_path, with_values(initial=33.0))
    settings = Settings(limit_policy="windowed", limit_parameters=str(path))
    assert limiter(settings, Random(1))(clock).limit == 33.0
    on_trial = limiter(replace(settings, limit_trials=0.1), Random(1))(clock)
    assert isinstance(on_trial, Trials)
    assert on_trial.limit == 33.0


@pytest.mark.parametrize(("variable", "value"), [("parameters", "x.json"), ("trials", "0.1")])
def test_a_setting_of_evolution_is_for_policies_that_evolve(variable: str, value: str) -> None:
    variable = f"LIMIT_{variable.upper()}"
    with pytest.raises(SettingsError, match=f"{variable} needs LIMIT_POLICY"):
        Settings.from_env({variable: value})
    Settings.from_env({variable: value, "LIMIT_POLICY": "evolved"})
