"""One record of the replica as plain JSON: every property of the model, no link, no annotation.

What reads a record by its id alone needs nothing of OData's grammar, and does not load it.
"""

from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.sql.json_functions import JsonStyle, property_fields
from chalicelib.postgres.query_parameters import Parameters
from chalicelib.postgres.read_session import Reader
from chalicelib.principal import Principal

_PLAIN = JsonStyle(service_root="", metadata="none", numbers_as_text=False, expand_page=0, most_bytes=0)
_FIELDS = ", ".join(
    field for each in POINT_RECORD.properties for field in property_fields(each, "p", _PLAIN)
)
_SELECT = f"""
SELECT CAST(row_to_json(r) AS text) FROM (
    SELECT {_FIELDS} FROM point_record AS p WHERE p.id = CAST({{id}} AS uuid) AND {{own}}
) AS r
"""


def record_json(reader: Reader, record_id: str, principal: Principal) -> str | None:
    """Return the record of an id, a UUID as text, as JSON text spelled as OData does.

    None where there is none, or it is not the principal's to read.

    Raises:
        UnavailableError: as ``Reader.row`` does.
    """
    parameters = Parameters(principal)
    bound, own = parameters.bind(record_id), parameters.own("p")
    found = reader.row(_SELECT.format(id=bound, own=own), parameters)
    return found[0] if found else None
