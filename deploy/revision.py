"""``python -m deploy.revision TEMPLATE NAME=VALUE…``: print a hash of what intake runs.

An alias leads to a version, and a version keeps the code and the configuration of its day. So each
change of either must publish a new version. SAM decides that by a hash of the template, in which
parameters are names without values. This hash has their values, and the code itself.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class MissingParameterError(Exception):
    """A parameter of intake has no value. The message is for operators."""


def revision(template: dict[str, Any], archive: bytes, parameters: Mapping[str, str]) -> str:
    """Return the hash of intake's code and configuration, as 64 hexadecimal digits.

    Raises:
        MissingParameterError: intake refers to a parameter that has no value.
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("Ref"))
        if name in template["Parameters"]:
            if name not in parameters:
                raise MissingParameterError(f"Set {name}=…, as for the deployment.")
            return parameters[name]
        return {key: resolved(each) for key, each in value.items()}

    properties = dict(template["Resources"]["Intake"]["Properties"])
    del properties["CodeUri"]  # a path; the code is hashed
    del properties["AutoPublishCodeSha256"]  # this hash
    configuration = json.dumps(resolved(properties), sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(archive).digest() + configuration).hexdigest()


def main() -> int:
    """Read the command line and print the revision; return 1 if a parameter is missing."""
    parser = argparse.ArgumentParser(prog="python -m deploy.revision", description=__doc__)
    parser.add_argument("template", type=Path, help="build/STAGE/sam.json; the zip is beside it")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    parameters = dict(each.split("=", 1) for each in arguments.parameters)
    template = json.loads(arguments.template.read_text(encoding="utf-8"))
    archive = arguments.template.with_name("deployment.zip").read_bytes()
    try:
        print(revision(template, archive, parameters))
    except MissingParameterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
