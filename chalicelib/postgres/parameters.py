"""The values that a statement binds, and for whom it reads."""

from chalicelib.principal import Principal


class Parameters(list[str]):
    """The values of ``$1``, ``$2`` … of one statement that reads for ``principal``.

    All SELECTs of a statement share them: none can be without the principal.
    """

    def __init__(self, principal: Principal) -> None:
        super().__init__()
        self.principal = principal
        self._bounds: dict[str, str] = {}

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
