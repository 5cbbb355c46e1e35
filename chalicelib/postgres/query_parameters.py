"""The values that a statement binds, and for whom it reads."""

from chalicelib.principal import Principal

# Postgres plans joins together. Of a hundred on one key it plans for ten seconds, in 800 MB.
_MOST_JOINED = 8


class QueryParameters(list[str]):
    """The values of ``$1``, ``$2`` … of one statement that reads for ``principal``.

    All SELECTs of a statement share them: none can be without the principal.
    """

    def __init__(self, principal: Principal) -> None:
        super().__init__()
        self.principal = principal
        self._bounds: dict[str, str] = {}
        self._joined = 0

    def join_one_more(self) -> bool:
        """Say whether Postgres may make a join of one more condition on related rows."""
        self._joined += 1
        return self._joined <= _MOST_JOINED

    def bind(self, text: str) -> str:
        """Bind a value, as Postgres reads it from text, and return what stands for it."""
        self.append(text)
        return f"${len(self)}"

    def own(self, alias: str) -> str:
        """Return the condition that a row of ``point_record`` is the principal's."""
        bounds = self.principal.bounds
        if not bounds:
            return "TRUE"
        for column, value in bounds:
            if column not in self._bounds:
                self._bounds[column] = self.bind(str(value))
        return " AND ".join(
            f"{alias}.{column} = CAST({self._bounds[column]} AS bigint)" for column, _ in bounds
        )
