"""Parameter files: numbers for the adaptive limiter that replace the defaults.

``python -m bench.evolve`` writes such a file, and ``LIMIT_PARAMETERS`` names the one to use.
Invariant: no number outside its safe bounds reaches a limiter.
"""

import json
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.settings import SettingsError

POLICY = "adaptive"
"""The value of ``policy`` in every parameter file."""


def load(path: Path) -> Parameters:
    """Read the adaptive limiter's parameters from a parameter file.

    Raises:
        SettingsError: naming every fault: the file cannot be read or is for another policy, or a
            parameter is missing, unknown, of a wrong type or out of bounds.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as a parameter file: {error}") from error
    if not isinstance(content, dict) or content.get("policy") != POLICY:
        raise SettingsError(f"{path} is not a parameter file for LIMIT_POLICY={POLICY}")
    return checked(content.get("parameters"), str(path))


def checked(values: Any, source: str) -> Parameters:
    """Make parameters from a mapping with exactly their names and with values within bounds.

    Raises:
        SettingsError: naming ``source`` and every invalid parameter.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{source} has no parameters")
    known = {each.name: each for each in fields(Parameters)}
    faults = [f"{name} is missing" for name in known if name not in values]
    faults += [f"{name} is not a parameter of {POLICY}" for name in values if name not in known]
    faults += [
        fault for name in known if name in values and (fault := _fault(known[name], values[name]))
    ]
    if faults:
        raise SettingsError(f"{source}: " + "; ".join(faults))
    return Parameters(**values)


def _fault(parameter: Field[Any], value: Any) -> str:
    """Return what is wrong with a parameter's value; an empty string if it is valid."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        return f"{parameter.name} must be a number, not {value!r}"
    low, high = parameter.metadata["low"], parameter.metadata["high"]
    if not low <= value <= high:
        return f"{parameter.name} must be between {low} and {high}, not {value!r}"
    return ""
