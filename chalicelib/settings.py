"""Define every setting of the service, and read the settings from the environment.

``Settings.from_env(os.environ)`` reads one variable per field, named like the field in upper case.
It checks each value against its range, and raises one ``SettingsError`` for all invalid variables.
docs/settings.md shows the default, the range and the effect of each setting. Effects name no units:
the suffix of a name gives the unit.
"""

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from chalicelib.net import is_http_url


class SettingsError(Exception):
    """Settings are missing, malformed or out of range. The message names each of them."""


def setting(
    default: Any,
    effect: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    *,
    by_reference: bool = False,
) -> Any:
    """Declare a setting.

    Args:
        default: the default value. Its type is the type of the setting.
        effect: what the setting does, for docs/settings.md.
        low: the minimum of a number.
        high: the maximum of a number.
        choices: the values that a text may have; empty if it may have any.
        by_reference: whether the value may be a reference to a secret or file. Read such a setting
            with ``container.resolved``.
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
    """The settings of the service. Suffixes are units: ``_s`` seconds, ``_bytes`` bytes."""

    point_record_table: str = setting(
        "point_record", "Name of the DynamoDB table that is the buffer."
    )
    clock_skew_s: float = setting(
        60.0, "How far in the future includedAt may be, by the clock of the server.", 0, 86_400
    )
    retention_months: int = setting(
        62,
        "How many months before the present one punches are kept. Older ones are refused.",
        1,
        1_200,
    )
    run_retention_days: int = setting(
        35, "How many days the statistics of the integrator's runs are kept.", 1, 3_650
    )
    max_body_bytes: int = setting(
        65_536, "Maximum size of the body of POST /point-record.", 1_024, 6_000_000
    )
    max_batch: int = setting(100, "Maximum number of records in one POST.", 1, 1_000)
    intake_threads: int = setting(
        8, "Maximum number of concurrent puts to the buffer for one POST of an array.", 1, 64
    )

    database_url: str = setting(
        "",
        "libpq URI of Postgres, or a JSON object with username, password, host, port and dbname, as"
        " RDS writes it. Connections to a remote host use TLS.",
        by_reference=True,
    )
    database_pool: int = setting(
        8,
        "Maximum number of connections per process. A Lambda function uses one, the local server"
        " one per thread.",
        1,
        100,
    )
    database_connect_timeout_s: float = setting(
        3.0, "Timeout of a connection attempt to Postgres.", 0.1, 60
    )
    statement_timeout_s: float = setting(
        30.0,
        "Timeout of one SQL statement of a schedule or an operator command. A transaction may take"
        " four times as long.",
        0.1,
        900,
    )
    database_idle_timeout_s: float = setting(
        10.0,
        "How long a process may be silent inside a transaction. Postgres then ends the session,"
        " which releases its locks.",
        0.1,
        300,
    )

    replication_segments: int = setting(
        2, "Number of parallel scans of the buffer. More scans are faster and use more CPU.", 1, 100
    )
    replication_page: int = setting(
        1_000,
        "Maximum number of records that are read, committed and deleted together. Larger pages use"
        " more memory and need fewer round trips.",
        1,
        5_000,
    )
    replication_deleters: int = setting(
        8,
        "Maximum number of concurrent batch deletes. More of them hide a higher latency and use"
        " more CPU.",
        1,
        64,
    )
    replication_margin_s: float = setting(
        5.0,
        "Time reserved at the end of a replication run to finish the pages in progress.",
        0.5,
        300,
    )
    replication_share: int = setting(
        20_000,
        "Number of buffered records from which on several runs of the replicator share the buffer,"
        " and about the size of a share.",
        100,
        10_000_000,
    )
    replication_lease_s: float = setting(
        30.0,
        "Lease of a share of the buffer. If its run dies, another run takes the share over then.",
        1,
        300,
    )
    journal: str = setting(
        "",
        "Where the replicator writes each record before it leaves the buffer, and each delivery:"
        " s3:BUCKET or file:DIRECTORY. Empty: nowhere.",
    )
    journal_timeout_s: float = setting(
        10.0,
        "How long a page of records waits for the journal. Then its records stay in the buffer.",
        1,
        60,
    )
    accepted_log: str = setting(
        "",
        "Where the reconciler reads the log of intake: cloudwatch:LOG_GROUP,LOG_GROUP… or"
        " file:PATH.",
    )

    legacy_url: str = setting(
        "",
        "URL of the legacy system, to which each record is sent. A placeholder such as {employeeId}"
        " stands for a property of the record.",
        by_reference=True,
    )
    legacy_method: str = setting(
        "POST",
        "Method of the requests to the legacy system: POST, PUT, PATCH, or GET, which has no body.",
        choices=("POST", "PUT", "PATCH", "GET"),
    )
    legacy_content_type: str = setting(
        "application/json",
        "Content-Type of the requests. It decides how LEGACY_BODY is escaped. Its charset decides"
        " how the body is encoded.",
    )
    legacy_body: str = setting(
        "",
        "Jinja2 template of the body. Empty: the record as JSON.",
        by_reference=True,
    )
    legacy_headers: str = setting(
        "",
        "Further headers of the requests, one a line, such as SOAPAction: register.",
        by_reference=True,
    )
    legacy_key_header: str = setting(
        "Idempotency-Key",
        "Header that has the id of the record, the same at each attempt. Empty: none.",
    )
    legacy_delivered: str = setting(
        "",
        "JMESPath condition on a response: the record is delivered. If set, another 2xx is a"
        ' delivery only if it is a 204 or has `{"message": "success"}`.',
        by_reference=True,
    )
    legacy_duplicate: str = setting(
        "",
        "JMESPath condition on a response: the legacy already had the record, so it is delivered.",
        by_reference=True,
    )
    legacy_retry: str = setting(
        "",
        "JMESPath condition on a response: the legacy is too busy. The record is retried, and no"
        " attempt is used up.",
        by_reference=True,
    )
    legacy_refused: str = setting(
        "", "JMESPath condition on a response: the legacy refuses the record.", by_reference=True
    )
    legacy_connect_timeout_s: float = setting(
        3.0,
        "Timeout of connecting to the legacy system: name look-up, all addresses and TLS.",
        0.1,
        60,
    )
    legacy_read_timeout_s: float = setting(
        10.0,
        "Read timeout: the longest time without a byte from the legacy system, in whole seconds."
        " Below 8 s it is 8 s.",
        0.1,
        300,
    )
    legacy_call_timeout_s: float = setting(
        15.0,
        "Timeout of a whole call. It also ends a slow response that never reaches the read"
        " timeout. A call waits up to half of it for a token. A token request has the same timeout,"
        " but at least 10 s.",
        0.1,
        300,
    )
    legacy_keep_alive_s: float = setting(
        4.0,
        "How long an idle connection to the legacy system is kept. 0: each call opens its own. Set"
        " it below the keep-alive timeout of the legacy system, if that is shorter.",
        0,
        300,
    )
    legacy_auth: str = setting(
        "none",
        "How calls to the legacy system authenticate (docs/legacy-settings.md): none, basic,"
        " digest, ntlm, bearer, header (LEGACY_AUTH_HEADERS) or oauth2 (client credentials).",
        choices=("none", "basic", "digest", "ntlm", "bearer", "header", "oauth2"),
    )
    legacy_user: str = setting(
        "",
        "User name for LEGACY_AUTH=basic, digest or ntlm. For ntlm with a domain: DOMAIN\\USER.",
        by_reference=True,
    )
    legacy_password: str = setting("", "Password of LEGACY_USER.", by_reference=True)
    legacy_token: str = setting("", "Token for LEGACY_AUTH=bearer.", by_reference=True)
    legacy_auth_headers: str = setting(
        "", "Headers for LEGACY_AUTH=header, each a line NAME: VALUE.", by_reference=True
    )
    legacy_token_url: str = setting(
        "", "Token endpoint for LEGACY_AUTH=oauth2. Must be https.", by_reference=True
    )
    legacy_client_id: str = setting("", "Client id for LEGACY_AUTH=oauth2.", by_reference=True)
    legacy_client_secret: str = setting("", "Secret of LEGACY_CLIENT_ID.", by_reference=True)
    legacy_client_auth: str = setting(
        "basic",
        "How the token request carries the client id and secret: basic (a header, form-encoded as"
        " RFC 6749 says), basic-raw (a header, as they are) or body.",
        choices=("basic", "basic-raw", "body"),
    )
    legacy_scope: str = setting(
        "", "Scope of the token request, if it needs one.", by_reference=True
    )
    legacy_audience: str = setting(
        "", "Audience of the token request, if it needs one.", by_reference=True
    )
    legacy_client_certificate: str = setting(
        "",
        "Client certificate for mutual TLS: PEM with the certificate, its chain and the private"
        " key.",
        by_reference=True,
    )
    legacy_ca: str = setting(
        "",
        "Certificate authorities of the legacy system: PEM, or the path of a PEM file. Empty:"
        " those of the operating system, which the token endpoint may have in any case.",
        by_reference=True,
    )
    legacy_proxy: str = setting(
        "",
        "Proxy to the legacy system, such as http://USER:PASSWORD@HOST:PORT. Empty: HTTPS_PROXY,"
        " http_proxy and NO_PROXY decide.",
        by_reference=True,
    )
    limit_policy: str = setting(
        "adaptive",
        "Policy that sets the limit of concurrent calls: adaptive, or classic (the project's first"
        " rule: docs/limit.md).",
        choices=("adaptive", "classic"),
    )
    limit_parameters: str = setting(
        "", "Parameter file for LIMIT_POLICY=adaptive. Empty: the default parameters."
    )
    limit_max: int = setting(
        200,
        "Maximum number of concurrent calls, for every policy.",
        1,
        1_000,
    )
    run_lease_s: float = setting(
        30.0,
        "Lease of an integrator run. Another run may start once the lease of a dead run expires.",
        2,
        900,
    )
    record_lease_s: float = setting(
        45.0,
        "Lease of a claimed record. If its run dies, the record waits until the lease expires."
        " Must exceed LEGACY_CALL_TIMEOUT_S by at least 3 s.",
        5,
        3_600,
    )
    settle_interval_s: float = setting(
        0.25, "Longest time before an outcome is written to Postgres.", 0.01, 10
    )
    settle_batch: int = setting(
        500, "Maximum number of outcomes that are written together.", 1, 5_000
    )
    max_attempts: int = setting(
        8,
        "Least number of attempts after which a record is parked. Calls count only while others"
        " are delivered. It takes more attempts while records that are delivered in the end often"
        " fail first (docs/decisions/0024).",
        1,
        1_000,
    )
    retry_base_s: float = setting(
        1.0, "Delay after the first failed attempt. It doubles with each further attempt.", 0, 3_600
    )
    retry_max_s: float = setting(
        3_600.0,
        "Maximum delay after a failed or refused attempt, unless the legacy system asks for more.",
        0,
        86_400,
    )
    overload_retry_max_s: float = setting(
        60.0,
        "Maximum delay after an attempt for which the legacy system was overloaded, unless it asks"
        " for more or the call took longer.",
        0,
        86_400,
    )

    odata_database_url: str = setting(
        "",
        "As DATABASE_URL, but for OData queries, for example with a read-only role."
        " Empty: DATABASE_URL.",
        by_reference=True,
    )
    odata_page: int = setting(100, "Page size if the client sends no preference.", 1, 10_000)
    odata_page_max: int = setting(1_000, "Maximum page size.", 1, 10_000)
    odata_expand_depth: int = setting(2, "Maximum depth of nested $expand.", 1, 5)
    odata_expand_page: int = setting(
        100,
        "Maximum number of entities that $expand inlines per entity. A link has the rest.",
        1,
        10_000,
    )
    odata_max_tokens: int = setting(
        2_000, "Maximum number of tokens in one query option.", 10, 100_000
    )
    odata_query_tokens: int = setting(
        5_000,
        "Maximum number of tokens in all options of one query together. An alias or a computed"
        " property counts at each use.",
        10,
        100_000,
    )
    odata_max_depth: int = setting(100, "Maximum nesting depth of an expression.", 5, 200)
    odata_max_transformations: int = setting(
        20, "Maximum number of transformations in one $apply.", 1, 100
    )
    odata_max_added_properties: int = setting(
        100, "Maximum number of properties that one $apply adds.", 1, 1_000
    )
    odata_timeout_s: float = setting(
        10.0, "Timeout of all SQL statements of one query together.", 0.1, 29
    )
    odata_batch_requests: int = setting(100, "Maximum number of requests in one batch.", 1, 1_000)
    odata_query_bytes: int = setting(
        65_536,
        "Maximum size of the path and query options of one request: alone, in a batch, or with"
        " /$query. API Gateway bounds a URL and its headers to 10,240 bytes.",
        1_024,
        6_000_000,
    )
    odata_answer_bytes: int = setting(
        2_000_000,
        "Maximum size of the response to a query, or of all responses of a batch. A page ends"
        " before it exceeds this size. Lambda may encode a response to three times its size, and"
        " sends at most 6 MB.",
        1_024,
        100_000_000,
    )
    odata_batch_bytes: int = setting(
        1_048_576, "Maximum size of the body of a batch.", 1_024, 6_000_000
    )
    odata_batch_timeout_s: float = setting(
        20.0, "Timeout of all requests of a batch together. API Gateway waits 29 s.", 0, 29
    )

    jwt_key: str = setting(
        "",
        "HS256 key of tokens, at least 32 bytes. For a single machine and for tests.",
        by_reference=True,
    )
    jwks_url: str = setting(
        "",
        "URL of the issuer's JWKS, for RS256 and ES256 tokens. Not together with JWT_KEY.",
    )
    jwks_table: str = setting(
        "",
        "Name of the DynamoDB table to which store-keys copies the issuer's keys, and from which"
        " each process reads them at its start. Empty: each process asks the issuer.",
    )
    jwks_max_age_s: float = setting(
        604_800.0,
        "How long the issuer's keys are trusted while it cannot be reached.",
        3_600,
        2_592_000,
    )
    jwt_issuer: str = setting("", "Required iss claim of tokens. Mandatory with JWKS_URL.")
    jwt_audience: str = setting(
        "", "Accepted audiences of tokens, separated by commas. Mandatory with JWKS_URL."
    )
    jwt_audience_claim: str = setting(
        "aud", "Claim that contains the audience. For Cognito: client_id."
    )
    jwt_authorization_uri: str = setting(
        "",
        "Where a person gets a token, for WWW-Authenticate; Excel and Power BI open it as an"
        " organizational account.",
    )
    jwt_leeway_s: float = setting(
        30.0, "Tolerated clock difference to the issuer when exp and nbf are checked.", 0, 300
    )
    jwt_role_claim: str = setting(
        "role", "Claim that contains the role, or a dotted path to it: realm_access.roles."
    )
    jwt_employer_claim: str = setting("employerId", "Claim that contains the id of the employer.")
    jwt_employee_claim: str = setting("employeeId", "Claim that contains the id of the employee.")
    jwt_employee_role: str = setting("employee", "The issuer's name of the role employee.")
    jwt_employer_role: str = setting("employer", "The issuer's name of the role employer.")
    jwt_integration_role: str = setting(
        "integration",
        "The issuer's name of the role integration, which may read all records and run operator"
        " commands.",
    )

    public_url: str = setting(
        "",
        "URL under which clients reach the service, if another server receives their requests, such"
        " as https://api.example.com/punch-clock for a CDN. Links start with it. Empty: links start"
        " with the URL of the request.",
    )
    canary_employer: int = setting(
        0,
        "Employer whose punches observe sends and measures (docs/operations.md). 0: none are sent."
        " The legacy system must know both ids, and nobody else may punch with them.",
        0,
        2**63 - 1,
    )
    canary_employee: int = setting(
        0, "Employee of CANARY_EMPLOYER whose punches are sent.", 0, 2**63 - 1
    )
    canary_interval_s: float = setting(
        300.0, "Time between two of these punches, at least.", 60, 86_400
    )
    health_timeout_s: float = setting(
        5.0,
        "How long GET /health and the schedule observe wait for their stores. A store that has not"
        " answered by then is unavailable in the response.",
        0.1,
        20,
    )
    lookup_timeout_s: float = setting(
        5.0,
        "How long GET /point-record/{id} waits for its stores. If one of them has the record, the"
        " other need not answer.",
        0.1,
        20,
    )

    operator_routes: str = setting(
        "on",
        "Whether operators may replay, release, reconcile and make access keys by POST"
        " /operations/… and the web console, too. off: only by the functions (docs/operations.md).",
        choices=("on", "off"),
    )
    console_client_id: str = setting(
        "",
        "Id of the web console as a public OAuth client of JWT_ISSUER (docs/console.md). Empty:"
        " people paste a token.",
    )
    console_scope: str = setting("openid", "Scope that the web console asks the issuer for.")
    console_origins: str = setting(
        "",
        "Origins of the issuer's endpoints other than that of JWT_ISSUER, separated by spaces, such"
        " as Cognito's domain.",
    )
    cors_origins: str = setting(
        "", "Origins that CORS allows, separated by commas. * allows every origin, empty none."
    )

    log_level: str = setting(
        "INFO",
        "Minimum level of logged events. The reconciler needs INFO or DEBUG. Operator commands are"
        " always logged.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    metrics_namespace: str = setting("", "CloudWatch namespace of the metrics. Empty: no metrics.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings from ``environ``. Ignore variables that are not settings.

        Raises:
            SettingsError: variables are malformed, out of range or contradictory. The message names
                each of them.
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
        settings = cls(**values)
        faults += settings._contradictions()
        if faults:
            raise SettingsError("; ".join(faults))
        return settings

    @property
    def has_issuer_url(self) -> bool:
        """Whether the issuer of tokens is a URL that a browser can be sent to."""
        return is_http_url(self.jwt_issuer) and bool(_PUBLIC_URL.fullmatch(self.jwt_issuer))

    @property
    def legacy_credentials(self) -> list[str]:
        """The names of the settings for credentials and the way to the legacy that are set.

        The value of each may be a reference.
        """
        return [
            each.name
            for each in fields(self)
            if each.name in _CREDENTIALS and each.metadata["by_reference"]
            if getattr(self, each.name)
        ]

    def _contradictions(self) -> list[str]:
        """Return a message for each pair of settings that contradict each other."""
        faults = []
        if self.record_lease_s < self.legacy_call_timeout_s + 3:
            faults.append("RECORD_LEASE_S must exceed LEGACY_CALL_TIMEOUT_S by at least 3 s")
        if bool(self.canary_employer) != bool(self.canary_employee):
            faults.append("CANARY_EMPLOYER and CANARY_EMPLOYEE must be set together")
        if self.journal and not _JOURNAL.fullmatch(self.journal):
            faults.append("JOURNAL must be s3:BUCKET or file:DIRECTORY")
        if self.odata_page > self.odata_page_max:
            faults.append("ODATA_PAGE must be at most ODATA_PAGE_MAX")
        if self.public_url and not (
            is_http_url(self.public_url) and _PUBLIC_URL.fullmatch(self.public_url)
        ):
            faults.append(
                "PUBLIC_URL must be an http or https URL without options and fragment, such as"
                " https://api.example.com/punch-clock"
            )
        # On AWS, functions without routes have this setting and no issuer: the console checks that.
        if self.console_client_id and self.jwt_issuer and not self.has_issuer_url:
            faults.append("CONSOLE_CLIENT_ID needs a JWT_ISSUER that is an https URL")
        if not all(map(_ORIGIN.fullmatch, self.console_origins.split())):
            faults.append(
                "CONSOLE_ORIGINS must be origins such as https://login.example.com, separated by"
                " spaces"
            )
        faults += self._credential_contradictions()
        if self.limit_parameters and self.limit_policy != "adaptive":
            faults.append("LIMIT_PARAMETERS needs LIMIT_POLICY=adaptive")
        return faults

    def _credential_contradictions(self) -> list[str]:
        """Return a message for each credential that LEGACY_AUTH lacks or does not use."""
        faults = []
        for name, modes in _USED_BY.items():
            is_set, is_used = bool(getattr(self, name)), self.legacy_auth in modes
            if is_set and not is_used:
                faults.append(f"{name.upper()} needs LEGACY_AUTH={' or '.join(modes)}")
            elif is_used and not is_set and name not in _OPTIONAL_FOR.get(self.legacy_auth, ()):
                faults.append(f"LEGACY_AUTH={self.legacy_auth} needs {name.upper()}")
        return faults


def _read(declared: Field[Any], text: str) -> Any:
    """Convert the text of a variable to the type of its setting, and check it.

    Raises:
        ValueError: the value is invalid. The message says what it must be.
    """
    kind: Any = type(declared.default)
    bounds = declared.metadata
    if text.startswith(_SECRET_STORES) and not bounds["by_reference"]:
        raise ValueError("must not be a reference to a secret store")
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
    """Return whether the value of a setting is a reference; see ``secret_references``."""
    return value.startswith((*_SECRET_STORES, "file:"))


# Its path needs no percent-encoding, so that it can be compared with the path of a reference.
_PUBLIC_URL = re.compile(r"https?://[^/?#\s;,]+(?:/[A-Za-z0-9._~/-]*)?")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?")
_JOURNAL = re.compile(r"s3:[a-z0-9.-]+|file:.+")
_SECRET_STORES = ("ssm:", "secretsmanager:")
_KIND_NAMES = {int: "an integer", float: "a number", str: "text"}
# The modes of LEGACY_AUTH that use each credential, and the credentials that a mode may lack: with
# Basic, some systems expect a key as the user name and no password.
_USED_BY = {
    "legacy_user": ("basic", "digest", "ntlm"),
    "legacy_password": ("basic", "digest", "ntlm"),
    "legacy_token": ("bearer",),
    "legacy_auth_headers": ("header",),
    "legacy_token_url": ("oauth2",),
    "legacy_client_id": ("oauth2",),
    "legacy_client_secret": ("oauth2",),
    "legacy_scope": ("oauth2",),
    "legacy_audience": ("oauth2",),
}
_OPTIONAL_FOR = {"basic": ("legacy_password",), "oauth2": ("legacy_scope", "legacy_audience")}
_CREDENTIALS = (*_USED_BY, "legacy_client_certificate", "legacy_ca", "legacy_proxy")
