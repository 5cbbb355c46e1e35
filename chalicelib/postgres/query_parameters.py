"""Bind the values of a query's statement, and restrict the statement to its principal's rows."""

from chalicelib.errors import InvalidError
from chalicelib.principal import Principal

# Postgres plans the joins of a statement together. It plans a hundred joins on one key for ten
# seconds, in 800 MB.
_MAX_JOINS = 3
# Each table of a statement is planned with all its partitions: with 62 months, it takes up to
# 3.6 MB, and 5 MB with the subselects that row security adds for a restricted principal.
_MAX_TABLES = 40
_MAX_RESTRICTED_TABLES = 24


class QueryParameters(list[str]):
    """The values of ``$1``, ``$2`` … of one statement, which reads for ``principal``.

    All SELECTs of a statement share one object, so none can leave out the principal.
    """

    def __init__(self, principal: Principal) -> None:
        super().__init__()
        self.principal = principal
        self._bounds: dict[str, str] = {}
        self._joins = 0
        self._tables = 0

    def reserve_join(self) -> bool:
        """Count one more join, or condition on related rows; return whether it may be a join."""
        self._joins += 1
        return self.may_join

    @property
    def may_join(self) -> bool:
        """Whether Postgres can still plan all joins of the statement together."""
        return self._joins <= _MAX_JOINS

    def reserve_table(self) -> None:
        """Count one more table in FROM.

        Raises:
            InvalidError: there are too many to plan.
        """
        self._tables += 1
        most = _MAX_RESTRICTED_TABLES if self.principal.bounds else _MAX_TABLES
        if self._tables > most:
            raise InvalidError(
                f"A query may read entities in at most {most} places. Use fewer conditions"
                " on related entities, search for fewer words, or expand or concatenate less."
            )

    def bind(self, text: str) -> str:
        """Bind a value in Postgres' text format, and return its placeholder."""
        self.append(text)
        return f"${len(self)}"

    def owned_by_principal(self, alias: str) -> str:
        """Return the SQL condition that a row of ``point_record`` belongs to the principal."""
        bounds = self.principal.bounds
        if not bounds:
            return "TRUE"
        for column, value in bounds:
            if column not in self._bounds:
                self._bounds[column] = self.bind(str(value))
        return " AND ".join(
            f"{alias}.{column} = CAST({self._bounds[column]} AS bigint)" for column, _ in bounds
        )
