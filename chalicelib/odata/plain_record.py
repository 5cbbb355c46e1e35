"""Read one point record from Postgres as plain JSON: all properties, no links or annotations.

A lookup by id does not need the OData grammar, so this module does not import it.
"""

from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.sql.json_functions import JsonStyle, property_fields
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal

_PLAIN = JsonStyle(
    service_root="", metadata="none", numbers_as_text=False, expand_page=0, max_bytes=0
)
_FIELDS = ", ".join(
    field for each in POINT_RECORD.properties for field in property_fields(each, "p", _PLAIN)
)
_SELECT = f"""
SELECT CAST(row_to_json(r) AS text) FROM (
    SELECT {_FIELDS} FROM point_record AS p WHERE p.id = CAST({{id}} AS uuid) AND {{own}}
) AS r
"""


def record_json(reader: ReadSession, record_id: str, principal: Principal) -> str | None:
    """Return the record with an id (a UUID) as JSON text, with values formatted as in OData.

    Return None if it does not exist or the principal may not read it.

    Raises:
        UnavailableError: as ``ReadSession.row``.
    """
    parameters = QueryParameters(principal)
    bound, own = parameters.bind(record_id), parameters.owned_by_principal("p")
    row = reader.row(_SELECT.format(id=bound, own=own), parameters)
    return row[0] if row else None
