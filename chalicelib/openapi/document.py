"""Build the OpenAPI document: the routes, who may call them, every answer, and the limits."""

from typing import Any

from chalicelib.openapi.operations_paths import operations_paths
from chalicelib.openapi.schemas import EXAMPLE, Schema, error_codes, reference, schemas
from chalicelib.settings import Settings

# Statuses of errors, with their meaning. 411 and 413 may come from API Gateway.
_MEANINGS = {
    "400": "The request is invalid: Malformed, TooOld, InTheFuture, Invalid.",
    "401": "There are no valid credentials: Unauthenticated.",
    "403": "The caller may not do this: Forbidden.",
    "404": "There is no such resource, or the caller may not read it: NotFound.",
    "405": "The route does not have this method: MethodNotAllowed.",
    "411": "The body has no Content-Length.",
    "413": "The request is too large: TooLarge.",
    "415": "The body is no JSON in UTF-8, or is compressed: UnsupportedMediaType,"
    " UnsupportedContentCoding.",
    "500": "An unexpected error: InternalError.",
    "501": "The service does not support this: NotImplemented.",
    "503": "A store cannot serve now, or a setting is wrong: Unavailable, Timeout, Misconfigured.",
}


def document(settings: Settings) -> dict[str, Any]:
    """Return the document of a stage with these settings, as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Punch clock",
            "version": "1.0.0",
            "summary": "Accepts punches, and says where each is on its way to the HR system.",
            "description": _description(settings),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "./", "description": "Where this document comes from."}],
        "externalDocs": {
            "description": "Queries are OData 4.01, whose own description is $metadata.",
            "url": "odata/$metadata",
        },
        "tags": [
            {"name": "punches", "description": "Punches and their records."},
            {"name": "health", "description": "Whether the service works."},
            {"name": "operators", "description": "Commands of operators."},
        ],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": {
            "/point-record": {"post": _post_punch(settings)},
            "/point-record/{id}": {"get": _get_record()},
            "/health": {"get": _get_health()},
            **operations_paths(
                _failures(
                    "400", "401", "403", "404", "405", "411", "413", "415", "500", "501", "503"
                )
            ),
        },
        "components": {
            "schemas": schemas(settings.max_batch),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The password is a token; the user name is ignored.",
                },
            },
        },
    }


def _description(settings: Settings) -> str:
    return (
        "Every error has one shape, and an app decides by its `code`: "
        + ", ".join(error_codes())
        + f".\n\nLimits: a body of /point-record has at most {settings.max_body_bytes} bytes and"
        f" {settings.max_batch} punches, a URL with its headers 10,240 bytes. A 503 has"
        " `Retry-After`, except `Misconfigured`, where only an operator can help; the same request"
        " may be sent again at any time."
    )


def _failures(*statuses: str) -> dict[str, Schema]:
    responses = {}
    for status in statuses:
        response: Schema = {
            "description": _MEANINGS[status],
            "content": {"application/json": {"schema": reference("ErrorResponse")}},
        }
        if status == "401":
            response["headers"] = {
                "WWW-Authenticate": {
                    "description": "The schemes: Bearer and Basic.",
                    "schema": {"type": "string"},
                }
            }
        if status == "503":
            response["headers"] = {
                "Retry-After": {
                    "description": "The seconds to wait, if a retry may help.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
        responses[status] = response
    return responses


def _json(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _post_punch(settings: Settings) -> Schema:
    return {
        "operationId": "postPunch",
        "tags": ["punches"],
        "summary": "Punch the clock.",
        "description": "Accepts one punch, or an array of"
        f" up to {settings.max_batch}. Sending a punch again is always safe: docs/phones.md.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [reference("Punch"), reference("PunchBatch")]},
                    "examples": {
                        "one": {"value": EXAMPLE},
                        "several": {"value": [EXAMPLE]},
                    },
                }
            },
        },
        "responses": {
            "200": _json(reference("PointRecord"), "An earlier request has stored this punch."),
            "201": {
                **_json(reference("PointRecord"), "The punch is stored."),
                "headers": {
                    "Location": {
                        "description": "The URL of the record.",
                        "schema": {"type": "string"},
                    }
                },
            },
            "207": _json(
                {"type": "array", "items": reference("PunchResult")},
                "One result for each item of the array, in order.",
            ),
            **_failures("400", "401", "403", "405", "411", "413", "415", "500", "503"),
        },
    }


def _get_record() -> Schema:
    return {
        "operationId": "getRecord",
        "tags": ["punches"],
        "summary": "Read a record, from the moment it was accepted.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            }
        ],
        "responses": {
            "200": _json(reference("PointRecord"), "The record."),
            **_failures("400", "401", "403", "404", "405", "411", "413", "500", "503"),
        },
    }


def _get_health() -> Schema:
    return {
        "operationId": "getHealth",
        "tags": ["health"],
        "summary": "Ask whether the service is up; operators see each stage.",
        "security": [{}, {"bearer": []}, {"basic": []}],
        "responses": {
            "200": _json(reference("Health"), "The service is up."),
            **_failures("400", "401", "403", "405", "411", "413", "500", "503"),
        },
    }
