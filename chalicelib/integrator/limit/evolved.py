"""Parameter files: numbers of the limit that were found by search, checked before they are used.

``python -m bench.evolve`` writes them. One is deployed for each policy of EVOLVED;
LIMIT_PARAMETERS names one of the operator's own.
"""

import json
from dataclasses import fields
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from chalicelib.integrator.limit.parameters import Parameters
from chalicelib.integrator.limit.windowed import WindowedParameters
from chalicelib.settings import SettingsError

EVOLVED: dict[str, type[Any]] = {"evolved": Parameters, "windowed": WindowedParameters}
"""The parameters of each policy whose numbers are evolved."""

_DEPLOYED = Path(__file__).parent


@cache
def deployed(policy: str) -> Any:
    """Return the evolved parameters of a policy that are deployed with the code."""
    return load(policy, _DEPLOYED / f"{policy}.json")


def load(policy: str, path: Path) -> Any:
    """Read the parameters of a policy from a parameter file.

    Raises:
        SettingsError: naming whatever is wrong: the file cannot be read, is of another policy, or
            a parameter is missing, unknown, of the wrong type or out of its safe bounds.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as a parameter file: {error}") from error
    if not isinstance(content, dict) or content.get("policy") != policy:
        raise SettingsError(f"{path} is not a parameter file of LIMIT_POLICY={policy}")
    return checked(policy, content.get("parameters"), str(path))


def checked(policy: str, values: Any, source: str) -> Any:
    """Make the parameters of a policy from a mapping of exactly their names to safe values.

    Raises:
        SettingsError: naming ``source`` and every parameter at fault.
    """
    kind = EVOLVED[policy]
    if not isinstance(values, dict):
        raise SettingsError(f"{source} has no parameters")
    known = {each.name: each for each in fields(kind)}
    faults = [f"{name} is missing" for name in known if name not in values]
    faults += [f"{name} is not a parameter of {policy}" for name in values if name not in known]
    faults += [
        fault for name in known if name in values and (fault := _fault(known[name], values[name]))
    ]
    if faults:
        raise SettingsError(f"{source}: " + "; ".join(faults))
    return kind(**values)


def _fault(parameter: Any, value: Any) -> str:
    """Say what is wrong with the value of a parameter; nothing, if it is safe."""
    whole = parameter.type is int
    allowed = int if whole else (int, float)
    number = isinstance(value, allowed) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not isfinite(value)):
        return f"{parameter.name} must be a {'whole ' if whole else ''}number, not {value!r}"
    if "low" in parameter.metadata:
        low, high = parameter.metadata["low"], parameter.metadata["high"]
        if not low <= value <= high:
            return f"{parameter.name} must be between {low} and {high}, not {value!r}"
    return ""
