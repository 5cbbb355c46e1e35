"""Every setting of the service, and the only reader of the environment.

``Settings.from_env(os.environ)`` takes each field's variable, named as the field in upper case,
checks it against its range, and raises ``SettingsError`` naming every variable at fault at once.
The effect of each setting, with the unit in its name, is what docs/settings.md shows.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any


class SettingsError(Exception):
    """Variables of the environment are missing or out of range."""


def setting(
    default: Any,
    effect: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    *,
    by_reference: bool = False,
) -> Any:
    """Declare a setting: its default, what it does, and the range or the words it may take.

    One that may come ``by_reference`` is read through ``container.resolved``, never from here.
    """
    metadata = {
        "effect": effect,
        "low": low,
        "high": high,
        "choices": choices,
        "by_reference": by_reference,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """The service's settings. ``_s`` are seconds, ``_ms`` milliseconds, ``_bytes`` bytes."""

    point_record_table: str = setting("point_record", "Name of the DynamoDB table (the buffer).")
    clock_skew_s: float = setting(
        60.0, "How far in the future of the server's clock an includedAt may lie.", 0, 86_400
    )
    max_body_bytes: int = setting(65_536, "Longest body of a POST that is read.", 1_024, 6_000_000)
    max_batch: int = setting(100, "Most records in one POST.", 1, 1_000)
    intake_threads: int = setting(
        8, "Puts to the buffer in flight for one POST of an array.", 1, 64
    )

    database_url: str = setting(
        "", "libpq URI of Postgres. A remote host is spoken to over TLS.", by_reference=True
    )
    database_pool: int = setting(
        8, "Connections of one process; a Lambda uses one, the local server one a thread.", 1, 100
    )
    database_connect_timeout_s: float = setting(
        3.0, "Longest wait for a connection to Postgres.", 0.1, 60
    )
    statement_timeout_s: float = setting(
        30.0, "Longest run of one statement of a schedule.", 0.1, 900
    )

    replication_segments: int = setting(
        2, "Parallel scans of the buffer: more read faster and cost more CPU.", 1, 100
    )
    replication_page: int = setting(
        1_000, "Records read, committed and deleted together: memory against round trips.", 1, 5_000
    )
    replication_deleters: int = setting(
        8, "Batch deletes in flight: more hide a slow answer and cost more CPU.", 1, 64
    )
    replication_margin_s: float = setting(
        5.0, "Time kept at the end of a replication to finish what it has begun.", 0.5, 300
    )
    accepted_log: str = setting(
        "",
        "Where intake's log is, for the reconciler: cloudwatch:LOG_GROUP,LOG_GROUP… or file:PATH.",
    )

    legacy_url: str = setting(
        "", "Where a point record is POSTed to the legacy HR system.", by_reference=True
    )
    legacy_connect_timeout_s: float = setting(3.0, "Longest wait for a connection.", 0.1, 60)
    legacy_read_timeout_s: float = setting(
        10.0, "Longest silence of the legacy during a call.", 0.1, 300
    )
    legacy_call_timeout_s: float = setting(
        15.0, "Longest call in all: a drip of bytes never ends a read timeout.", 0.1, 300
    )
    limit_policy: str = setting(
        "adaptive",
        "How the limit is found (docs/limit.md): adaptive, or classic (the founding rule).",
        choices=("adaptive", "classic"),
    )
    limit_parameters: str = setting(
        "", "Parameter file for LIMIT_POLICY=adaptive, in place of the default parameters."
    )
    limit_max: int = setting(
        200, "Most calls in flight, whatever the limit has learned; a thread each.", 1, 1_000
    )
    run_lease_s: float = setting(30.0, "How long a silent run stays the active one.", 2, 900)
    record_lease_s: float = setting(
        45.0,
        "How long a claimed record is one run's own, and waits if that run dies: at least 3 s more"
        " than LEGACY_CALL_TIMEOUT_S.",
        5,
        3_600,
    )
    settle_interval_s: float = setting(
        0.25, "Longest wait of an outcome before it is written.", 0.01, 10
    )
    settle_batch: int = setting(500, "Most outcomes written together.", 1, 5_000)
    max_attempts: int = setting(
        8, "Attempts that end in a failure or a refusal before a record is parked.", 1, 1_000
    )
    retry_base_s: float = setting(
        1.0, "Wait after the first failed attempt; doubles with each further one.", 0, 3_600
    )
    retry_max_s: float = setting(
        3_600.0, "Longest wait after an attempt that failed or was refused.", 0, 86_400
    )
    overload_retry_max_s: float = setting(
        60.0, "Longest wait of a record for which the legacy was too busy.", 0, 86_400
    )

    odata_database_url: str = setting(
        "",
        "libpq URI for what reads, of a role with no right but SELECT. DATABASE_URL where it is"
        " empty.",
        by_reference=True,
    )
    odata_page: int = setting(100, "Records of a page when the client does not say.", 1, 10_000)
    odata_page_max: int = setting(1_000, "Most records of a page.", 1, 10_000)
    odata_expand_depth: int = setting(2, "Most levels of $expand within each other.", 1, 5)
    odata_expand_page: int = setting(
        100, "Records that one $expand writes into one record before it gives a link.", 1, 10_000
    )
    odata_max_tokens: int = setting(2_000, "Most tokens of one query option.", 10, 100_000)
    odata_max_depth: int = setting(100, "Deepest nesting of one expression.", 5, 200)
    odata_max_transformations: int = setting(20, "Most transformations of one $apply.", 1, 100)
    odata_max_added_properties: int = setting(
        100, "Most properties that one $apply may add.", 1, 1_000
    )
    odata_timeout_s: float = setting(
        10.0, "Time that the database has for one query, however many statements.", 0.1, 29
    )
    odata_batch_requests: int = setting(100, "Most requests in one batch.", 1, 1_000)
    odata_query_bytes: int = setting(
        65_536, "Longest path and options of one query, alone or in a batch.", 1_024, 6_000_000
    )
    odata_answer_bytes: int = setting(
        2_000_000,
        "Longest answer to one query, or to all of a batch; pages end before it. Written as Lambda"
        " sends it, it may be three times as long, and must be within 6 MB.",
        1_024,
        100_000_000,
    )
    odata_batch_bytes: int = setting(1_048_576, "Longest batch that is read.", 1_024, 6_000_000)
    odata_batch_timeout_s: float = setting(
        20.0, "Time that all requests of a batch have together; API Gateway waits 29 s.", 0, 29
    )

    jwt_key: str = setting(
        "",
        "HS256: the key that tokens are signed with, 32 bytes or more. For one machine and tests.",
        by_reference=True,
    )
    jwks_url: str = setting(
        "", "RS256 and ES256: where the issuer of tokens publishes its keys. In place of JWT_KEY."
    )
    jwt_issuer: str = setting("", "The iss that a token must have. JWKS_URL needs it.")
    jwt_audience: str = setting(
        "", "The audience of a token: one of these, with commas between. JWKS_URL needs it."
    )
    jwt_audience_claim: str = setting("aud", "Claim that has the audience; Cognito: client_id.")
    jwt_leeway_s: float = setting(
        30.0, "How far the issuer's clock may be from ours: later than exp, before nbf.", 0, 300
    )
    jwt_role_claim: str = setting(
        "role", "Claim that has the role, or a path of dots to it: realm_access.roles."
    )
    jwt_employer_claim: str = setting("employerId", "Claim that has the id of the employer.")
    jwt_employee_claim: str = setting("employeeId", "Claim that has the id of the employee.")
    jwt_employee_role: str = setting("employee", "What the issuer calls the role employee.")
    jwt_employer_role: str = setting("employer", "What the issuer calls the role employer.")
    jwt_integration_role: str = setting(
        "integration", "What the issuer calls the role integration, which may see all."
    )

    cors_origins: str = setting(
        "", "Origins whose pages may ask, with commas between, or * for any; none where empty."
    )

    log_level: str = setting(
        "INFO",
        "Least severe level that is logged; above INFO the reconciler has no witness. What"
        " operators ask for is logged at any.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    metrics_namespace: str = setting(
        "", "Namespace of the metrics in CloudWatch; without one, no metrics are written."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings from ``environ``; variables that are not settings are left alone.

        Raises:
            SettingsError: naming each variable that is not of its type or out of its range.
        """
        values: dict[str, Any] = {}
        faults: list[str] = []
        for each in fields(cls):
            variable = each.name.upper()
            if variable not in environ:
                continue
            try:
                values[each.name] = _read(each, environ[variable])
            except ValueError as error:
                faults.append(f"{variable} {error}")
        found = cls(**values)
        faults += found._contradictions()
        if faults:
            raise SettingsError("; ".join(faults))
        return found

    def _contradictions(self) -> list[str]:
        """Say which settings do not go together."""
        faults = []
        if self.record_lease_s < self.legacy_call_timeout_s + 3:
            faults.append("RECORD_LEASE_S must be at least 3 s more than LEGACY_CALL_TIMEOUT_S")
        if self.odata_page > self.odata_page_max:
            faults.append("ODATA_PAGE must be at most ODATA_PAGE_MAX")
        if self.limit_parameters and self.limit_policy != "adaptive":
            faults.append("LIMIT_PARAMETERS needs LIMIT_POLICY=adaptive")
        return faults


def _read(declared: Field[Any], text: str) -> Any:
    """Read the value of a setting.

    Raises:
        ValueError: with what it must be.
    """
    kind: Any = type(declared.default)
    bounds = declared.metadata
    if text.startswith(_SECRET_STORES) and not bounds["by_reference"]:
        raise ValueError("cannot be a reference")
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"must be {_KIND_NAMES[kind]}, not {text!r}") from None
    low, high, choices = bounds["low"], bounds["high"], bounds["choices"]
    if low is not None and not low <= value <= high:
        raise ValueError(f"must be between {low} and {high}, not {text}")
    if choices and value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
    return value


def is_reference(value: str) -> bool:
    """Say whether the value of a setting says where the true one is kept; see ``reference``."""
    return value.startswith((*_SECRET_STORES, "file:"))


_SECRET_STORES = ("ssm:", "secretsmanager:")
_KIND_NAMES = {int: "a whole number", float: "a number", str: "text"}
