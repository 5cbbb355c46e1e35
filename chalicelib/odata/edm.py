"""The primitive types of the Entity Data Model that the service supports, with their SQL types.

OData CSDL 4.01, section 3.3 (primitive types); URL Conventions 4.01, section 5.1.1.16 (numeric
promotion).
"""

from enum import Enum


class Edm(Enum):
    """A primitive type. ``NULL`` is the type of the literal ``null``, a value of every type."""

    NULL = ("null", "text")
    BOOLEAN = ("Edm.Boolean", "boolean")
    BYTE = ("Edm.Byte", "smallint")
    SBYTE = ("Edm.SByte", "smallint")
    INT16 = ("Edm.Int16", "smallint")
    INT32 = ("Edm.Int32", "integer")
    INT64 = ("Edm.Int64", "bigint")
    DECIMAL = ("Edm.Decimal", "numeric")
    DOUBLE = ("Edm.Double", "double precision")
    STRING = ("Edm.String", "text")
    GUID = ("Edm.Guid", "uuid")
    DATE = ("Edm.Date", "date")
    TIME_OF_DAY = ("Edm.TimeOfDay", "time")
    DATE_TIME_OFFSET = ("Edm.DateTimeOffset", "timestamptz")
    DURATION = ("Edm.Duration", "interval")

    sql: str

    def __new__(cls, qualified_name: str, sql: str) -> "Edm":
        member = object.__new__(cls)
        member._value_ = qualified_name
        member.sql = sql
        return member

    @classmethod
    def named(cls, qualified_name: str) -> "Edm | None":
        """Return the type with a name such as ``Edm.String``, None if it is unknown."""
        return next((each for each in cls if each.value == qualified_name), None)

    def __str__(self) -> str:
        return str(self.value)


INTEGER_RANGES = {
    Edm.BYTE: (0, 2**8 - 1),
    Edm.SBYTE: (-(2**7), 2**7 - 1),
    Edm.INT16: (-(2**15), 2**15 - 1),
    Edm.INT32: (-(2**31), 2**31 - 1),
    Edm.INT64: (-(2**63), 2**63 - 1),
}
INTEGERS = frozenset(INTEGER_RANGES)
FRACTIONS = frozenset({Edm.DECIMAL, Edm.DOUBLE})
NUMBERS = INTEGERS | FRACTIONS


def promote(left: Edm, right: Edm) -> Edm:
    """Return the type to which two numbers are promoted: Double before Decimal before integer.

    Integers of every size are computed as Int64: the standard requires a type of sufficient size.
    """
    for wider in (Edm.DOUBLE, Edm.DECIMAL):
        if wider in (left, right):
            return wider
    return Edm.INT64
