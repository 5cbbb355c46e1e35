"""JSON schemas of the requests and responses: JSON Schema 2020-12, as OpenAPI 3.1 has it."""

from typing import Any

from chalicelib import errors
from chalicelib.errors import PunchClockError
from chalicelib.intake import Evidence
from chalicelib.odata.edm import INTEGER_RANGES, Edm
from chalicelib.odata.model import POINT_RECORD, Property
from chalicelib.point_record import MAX_ACCURACY_METERS, MAX_INT64, Status

Schema = dict[str, Any]

# Codes of API Gateway, and of methods that a route does not have.
_GATEWAY_CODES = ("BadRequest", "LengthRequired", "Timeout", "TooManyRequests")
_FORMATS = {Edm.GUID: "uuid", Edm.DATE_TIME_OFFSET: "date-time", Edm.DATE: "date"}
# The instant and the ids of the punch in README.md.
EXAMPLE: Schema = {
    "employeeId": 2023, "employerId": 121, "includedAt": "2024-05-06T08:00:00-03:00",
}  # fmt: skip


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def error_codes() -> list[str]:
    """Return every ``code`` that an error may have."""
    classes = (each for each in vars(errors).values() if isinstance(each, type))
    own = {each.code for each in classes if issubclass(each, PunchClockError)}
    return sorted(own | set(_GATEWAY_CODES))


def schemas(max_batch: int) -> dict[str, Schema]:
    """Return the schemas of the document by name."""
    return {
        "Punch": _punch(),
        "PunchBatch": {
            "type": "array",
            "description": "Several punches, each of which succeeds or fails alone.",
            "items": reference("Punch"),
            "minItems": 1,
            "maxItems": max_batch,
        },
        "PointRecord": _record(),
        "PunchResult": _punch_result(),
        "Error": _error(),
        "ErrorResponse": _object({"error": reference("Error")}, ["error"]),
        "Health": {
            **_object(
                {"status": {"type": "string", "enum": ["ok", "degraded"]}},
                ["status"],
            ),
            "description": "Operators also get the depth and age of each stage.",
        },
    }


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def command(properties: dict[str, Schema], required: list[str]) -> Schema:
    """Return the schema of an operator's command. Each has a comment, and no other members."""
    comment: Schema = {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "description": "Why, for the audit log: one line.",
    }
    members = {**properties, "comment": comment}
    return {**_object(members, required), "additionalProperties": False}


def _id(description: str) -> Schema:
    return {
        "type": "integer",
        "format": "int64",
        "minimum": 1,
        "maximum": MAX_INT64,
        "description": description,
    }


def _punch() -> Schema:
    described = {each.name: each.description for each in POINT_RECORD.properties}
    optional = {
        "deviceId": {"type": ["string", "null"], "minLength": 1, "maxLength": 100},
        "latitude": {"type": ["number", "null"], "minimum": -90, "maximum": 90},
        "longitude": {"type": ["number", "null"], "minimum": -180, "maximum": 180},
        "accuracyMeters": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": MAX_ACCURACY_METERS,
        },
    }
    return {
        **_object(
            {
                "employeeId": _id(described["employeeId"]),
                "employerId": _id(described["employerId"]),
                "includedAt": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the employee punched the clock, with the offset from UTC."
                    " It may not be in the future.",
                },
                **{
                    name: {**schema, "description": described[name]}
                    for name, schema in optional.items()
                },
            },
            ["employeeId", "employerId", "includedAt"],
        ),
        "description": "One punch. Employer, employee and instant are its key: sent again, it is"
        " the same record.",
        "additionalProperties": False,
        "examples": [EXAMPLE],
    }


def _record() -> Schema:
    properties = {each.name: _of_property(each) for each in POINT_RECORD.properties}
    properties["status"]["enum"] = [each.value for each in Status]
    properties["evidence"] = _evidence()
    always = ("id", "employeeId", "employerId", "includedAt", "createdAt", "status")
    return {**_object(properties, list(always)), "description": "A record of a punch."}


def _of_property(prop: Property) -> Schema:
    """Return the schema of a property of the OData model."""
    schema: Schema = {}
    if prop.type in INTEGER_RANGES:
        kind = "integer"
        schema["format"] = "int64" if prop.type is Edm.INT64 else "int32"
    elif prop.type in (Edm.DOUBLE, Edm.DECIMAL):
        kind = "number"
    else:
        kind = "boolean" if prop.type is Edm.BOOLEAN else "string"
        if prop.type in _FORMATS:
            schema["format"] = _FORMATS[prop.type]
        if prop.max_length:
            schema["maxLength"] = prop.max_length
    schema["type"] = [kind, "null"] if prop.nullable else kind
    schema["description"] = prop.description
    return schema


def _punch_result() -> Schema:
    return {
        **_object(
            {
                "status": {
                    "type": "integer",
                    "description": "As for the punch alone: 201 new, 200 known, else an error.",
                },
                "record": reference("PointRecord"),
                "error": reference("Error"),
                "evidence": _evidence(),
            },
            ["status"],
        ),
        "description": "The result of one item: a record, or an error.",
    }


def _evidence() -> Schema:
    return {
        "type": "string",
        "enum": [each.value for each in Evidence],
        "description": "Only if an earlier post of the punch has stored other evidence: what became"
        " of this post's.",
    }


def _error() -> Schema:
    text: Schema = {"type": "string", "minLength": 1}
    # The name of an unknown field may be empty.
    named: Schema = {"type": "string"}
    members = {"code": text, "message": text, "target": named}
    detail = _object(members, ["code", "message", "target"])
    return {
        **_object(
            {
                "code": {
                    "type": "string",
                    "description": "What an app decides by; codes may be added.",
                    "examples": error_codes(),
                },
                "message": {**text, "description": "For people."},
                "target": {**text, "description": "The field, option or header at fault."},
                "details": {"type": "array", "items": detail},
            },
            ["code", "message"],
        ),
        "description": "Why a request failed. docs/phones.md says what each code means.",
    }
