"""Parameter files: numbers for the adaptive limiter that a search has found.

``python -m bench.evolve`` writes them, and ``LIMIT_PARAMETERS`` names the one to use in place of
the defaults. Every number is checked against its safe bounds before it is used.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.settings import SettingsError

POLICY = "adaptive"
"""The policy that a parameter file must be for."""


def load(path: Path) -> Parameters:
    """Read the parameters of the adaptive limiter from a parameter file.

    Raises:
        SettingsError: naming every fault: the file cannot be read, is for another policy, or
            a parameter is missing, unknown, of the wrong type or out of its safe bounds.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as a parameter file: {error}") from error
    if not isinstance(content, dict) or content.get("policy") != POLICY:
        raise SettingsError(f"{path} is not a parameter file for LIMIT_POLICY={POLICY}")
    return checked(content.get("parameters"), str(path))


def checked(values: Any, source: str) -> Parameters:
    """Make parameters from a mapping that has exactly their names and safe values.

    Raises:
        SettingsError: naming ``source`` and every parameter at fault.
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


def _fault(parameter: Any, value: Any) -> str:
    """Return what is wrong with a parameter's value; an empty text if it is safe."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        return f"{parameter.name} must be a number, not {value!r}"
    low, high = parameter.metadata["low"], parameter.metadata["high"]
    if not low <= value <= high:
        return f"{parameter.name} must be between {low} and {high}, not {value!r}"
    return ""
