"""The routes of operators, ``POST /operations/…``: members and results of each command."""

from typing import Any

from chalicelib.openapi.schemas import Schema, command, reference
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
}


def operations_paths(failures: dict[str, Schema]) -> dict[str, Any]:
    """Return the path items of the commands.

    Args:
        failures: the responses of errors, by status.
    """
    paths: dict[str, Any] = {}
    for name, (purpose, members, required, result) in _COMMANDS.items():
        schema: Schema = {"type": "object", "properties": result}
        paths[f"/operations/{name}"] = {
            "post": {
                "operationId": f"{name}Operation",
                "tags": ["operators"],
                "summary": purpose,
                "description": "Requires a token of the role integration, and is audited."
                " docs/security.md.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": command(members, required)}},
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
