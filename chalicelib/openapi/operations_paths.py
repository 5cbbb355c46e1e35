"""The routes of operators, ``POST /operations/…``: members and results of each command."""

from typing import Any

from chalicelib.openapi.schemas import Schema, command, reference
from chalicelib.operations.manage_access_keys import DEFAULT_DAYS, MAX_DAYS, MAX_NAME_LENGTH
from chalicelib.point_record import MAX_INT64

_TEXT: Schema = {"type": "string"}
_CURSOR: Schema = {"type": "string", "description": "The cursor of the last answer, to go on."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MORE: Schema = {"type": "boolean", "description": "Whether to send the request again."}
_IDS: Schema = {"type": "array", "items": _TEXT, "maxItems": 100}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_ITEM_ID: Schema = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_INT64}
# For each command: its purpose, its members, the required ones, and the members of its result.
_COMMANDS: dict[str, tuple[str, dict[str, Schema], list[str], dict[str, Schema]]] = {
    "replay": (
        "Return parked records to the queue.",
        {
            "filter": {
                "type": "string",
                "description": "An OData $filter on PointRecords.",
                "examples": ["employerId eq 121"],
            },
            "cursor": _CURSOR,
        },
        ["filter", "comment"],
        {"replayed": _COUNT, "more": _MORE, "cursor": _CURSOR},
    ),
    "quarantine": (
        "List quarantined items, a hundred at a time, the latest first.",
        {"before": {**_ITEM_ID, "description": "Only items with a smaller id."}},
        [],
        {"items": {"type": "array", "items": {"type": "object"}, "maxItems": 100}},
    ),
    "release": (
        "Return a quarantined item to the pipeline, unchanged or replaced by a record.",
        {"quarantineId": _ITEM_ID, "record": reference("Punch")},
        ["quarantineId", "comment"],
        {"id": _TEXT, "written": _COUNT},
    ),
    "reconcile": (
        "Check that every record accepted in a period is in a store.",
        {"since": _INSTANT, "until": _INSTANT, "cursor": _CURSOR},
        ["comment"],
        {
            **dict.fromkeys(
                ("accepted", "inBuffer", "inPostgres", "inQuarantine", "missing", "unlogged"),
                _COUNT,
            ),
            "missingIds": _IDS,
            "unloggedIds": _IDS,
            "reached": _INSTANT,
            "more": _MORE,
            "cursor": _CURSOR,
        },
    ),
    "access-keys": (
        "Make an access key for a report, revoke one, or list a hundred, the latest first.",
        {
            "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
            "employerId": _ITEM_ID,
            "employeeId": _ITEM_ID,
            "days": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_DAYS,
                "default": DEFAULT_DAYS,
                "description": "How long the key is valid.",
            },
            "revoke": {**_ITEM_ID, "description": "The id of the key to revoke."},
            "before": {**_ITEM_ID, "description": "List only keys with a smaller id."},
        },
        [],
        {
            "id": _ITEM_ID,
            "name": _TEXT,
            "expiresAt": _INSTANT,
            "key": {"type": "string", "description": "The new key, which is never shown again."},
            "revoked": _ITEM_ID,
            "keys": {"type": "array", "items": {"type": "object"}, "maxItems": 100},
        },
    ),
}
# What else a command must have if it has a member.
_DEPENDENT: dict[str, dict[str, list[str]]] = {
    "access-keys": {
        "name": ["employerId", "comment"],
        "employerId": ["name"],
        "employeeId": ["name"],
        "days": ["name"],
        "revoke": ["comment"],
    }
}


def operations_paths(failures: dict[str, Schema]) -> dict[str, Any]:
    """Return the path items of the commands.

    Args:
        failures: the responses of errors, by status.
    """
    paths: dict[str, Any] = {}
    for name, (purpose, members, required, result) in _COMMANDS.items():
        schema: Schema = {"type": "object", "properties": result}
        asked = command(members, required)
        if name in _DEPENDENT:
            asked["dependentRequired"] = _DEPENDENT[name]
        paths[f"/operations/{name}"] = {
            "post": {
                "operationId": f"{_camel_case(name)}Operation",
                "tags": ["operators"],
                "summary": purpose,
                "description": "Requires a token of the role integration, and is audited."
                " docs/security.md.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": asked}},
                },
                "responses": {
                    "200": {
                        "description": "What was done.",
                        "content": {"application/json": {"schema": schema}},
                    },
                    **failures,
                },
            }
        }
    return paths


def _camel_case(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(each.capitalize() for each in others)
