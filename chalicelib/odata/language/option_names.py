"""Name the system query options, and say which of them ``$expand`` accepts in parentheses.

URL Conventions 4.01, section 5; OData ABNF 4.01, rules systemQueryOption and expandOption.
"""

# The options of logs/$count(…), of logs/$ref(…) and of logs(…).
OF_COUNT = frozenset({"$filter", "$search"})
OF_REFERENCES = OF_COUNT | {"$count", "$orderby", "$skip", "$top"}
NESTED = OF_REFERENCES | {"$compute", "$expand", "$levels", "$select"}
SYSTEM = NESTED | {
    "$apply", "$deltatoken", "$format", "$id", "$index", "$schemaversion", "$skiptoken",
}  # fmt: skip
# Without the dollar sign, these are custom options.
_DOLLAR_REQUIRED = ("$skiptoken", "$deltatoken")


def full_name(name: str) -> str | None:
    """Return the name of a system query option with its ``$``, in lower case; None for any other.

    The ``$`` may be omitted, and case does not matter (4.01).
    """
    lower = name.strip().lower()
    full = lower if lower.startswith("$") else f"${lower}"
    is_system = full in SYSTEM and (full == lower or full not in _DOLLAR_REQUIRED)
    return full if is_system else None
