"""No secret appears in what people read, though the legacy echoes the whole request back."""

import json
from base64 import b64encode
from html import escape
from urllib.parse import quote, quote_plus

import pytest

from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from tests.support.authorization_server import CLIENT_SECRET, AuthorizationServer
from tests.support.http_server import HttpServer, Request, Response
from tests.support.service import Service, wired

# Parts that no test text contains otherwise.
SECRET = 'p4ss "w0rd/+ä'
TOKEN = "t0ken.of-the_bearer"
PROXY_PASSWORD = "pr0xy-pass"

LOGIN = {"LEGACY_USER": "ann", "LEGACY_PASSWORD": SECRET}
MODES: dict[str, dict[str, str]] = {
    "basic": {"LEGACY_AUTH": "basic", **LOGIN},
    "digest": {"LEGACY_AUTH": "digest", **LOGIN},
    "ntlm": {"LEGACY_AUTH": "ntlm", **LOGIN},
    "bearer": {"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": TOKEN},
    "header": {
        "LEGACY_AUTH": "header",
        "LEGACY_AUTH_HEADERS": f"X-Key: {TOKEN}\nX-Two: a {TOKEN}2",
    },
    "oauth2": {
        "LEGACY_AUTH": "oauth2",
        "LEGACY_CLIENT_ID": "punch-clock",
        "LEGACY_CLIENT_SECRET": CLIENT_SECRET,
    },
    "proxy": {"LEGACY_AUTH": "basic", **LOGIN},
    "query": {},
    "json": {"LEGACY_BODY": f'{{"password": {json.dumps(SECRET)}, "id": "{{{{ id }}}}"}}'},
    "xml": {
        "LEGACY_CONTENT_TYPE": "text/xml",
        "LEGACY_BODY": f"<a><w:Password>{escape(SECRET)}</w:Password>{{{{ id }}}}</a>",
    },
}
SECRET_MODES = ("basic", "digest", "ntlm", "proxy", "json", "xml")


def encoded(secret: str) -> list[str]:
    return [
        secret,
        json.dumps(secret)[1:-1],
        quote(secret),
        quote_plus(secret),
        b64encode(secret.encode()).decode(),
        b64encode(f"ann:{secret}".encode()).decode(),
        b64encode(f"punch-clock:{secret}".encode()).decode(),
    ]


class EchoingLegacy:
    """Challenges once where it must, and then answers with the request and with all secrets."""

    def __init__(self, status: int, secrets: list[str]) -> None:
        self._status = status
        self.secrets = secrets
        self.challenges = {
            "digest": {"WWW-Authenticate": 'Digest realm="hr", nonce="0a1b2c3d", qop="auth"'},
            # A message of type 2, as in [MS-NLMP], section 4.2.4.3.
            "ntlm": {"WWW-Authenticate": f"NTLM {b64encode(CHALLENGE).decode()}"},
        }
        self.mode = ""

    def __call__(self, request: Request) -> Response:
        if self.mode in self.challenges and not request.body:
            return Response(401, self.challenges[self.mode], b"who?")
        said = [form for secret in self.secrets for form in encoded(secret)]
        headers = dict(request.headers.items())
        document = {
            "message": "failure",
            "headers": headers,
            "body": request.body.decode(),
            "said": said,
        }
        return Response(self._status, body=json.dumps(document).encode())


CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000"
    "0600706f0000000f53006500720076006500720002000c0044006f006d00610069006e0001000c005300650072007600"
    "6500720000000000"
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_echoed_request_tells_no_secret(
    service: Service,
    variables: dict[str, str],
    mode: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", f"http://bob:{PROXY_PASSWORD}@127.0.0.1:9")
    secrets = [SECRET, TOKEN, CLIENT_SECRET, PROXY_PASSWORD]
    legacy = EchoingLegacy(status, [])
    with AuthorizationServer().running() as issuer, HttpServer(legacy).running() as server:
        environ = {**variables, "LEGACY_URL": server.url, **MODES[mode], "MAX_ATTEMPTS": "1"}
        if mode == "oauth2":
            environ["LEGACY_TOKEN_URL"] = issuer.url
        if mode == "query":
            environ["LEGACY_URL"] += f"?api_key={TOKEN}"
        if mode == "proxy":
            environ["LEGACY_PROXY"] = f"http://ann:{PROXY_PASSWORD}@127.0.0.1:{server.port}"
        legacy.mode = mode
        # The legacy knows only the secrets of this mode, and the token that was issued.
        legacy.secrets = [
            each for each in secrets if each in json.dumps(environ, ensure_ascii=False)
        ]
        legacy.secrets += [SECRET] if mode in SECRET_MODES else []
        with wired(environ):
            (record_id,) = service.accept([1])
            service.replicate()
            service.integrate()
            records = service.get("/odata/PointRecords?$expand=logs").body.decode()
            health = service.get("/health").body.decode()
            logs = service.rows("SELECT log FROM integration_log WHERE log IS NOT NULL")
            output = capsys.readouterr().out
    assert server.requests
    assert "said" in str(logs)
    assert "[secret]" in records
    for text in (records, health, str(logs), output):
        for secret in [*legacy.secrets, *issuer.issued]:
            for form in encoded(secret):
                assert form not in text
    if mode == "digest":
        assert (
            server.requests[-1].headers["Authorization"].split('response="')[1][:32] not in records
        )
    if mode == "ntlm":
        assert server.requests[-1].headers["Authorization"].removeprefix("NTLM ") not in records
    assert record_id in records


@pytest.mark.parametrize(
    "environ",
    [
        {"LEGACY_AUTH": "basic", "LEGACY_USER": "hr", "LEGACY_PASSWORD": "hr2020"},
        {"LEGACY_BODY": '{"password": "hr2020", "id": "{{ id }}"}'},
    ],
    ids=["basic", "body"],
)
def test_long_error_page_with_a_short_secret_does_not_stop_the_other_records(
    service: Service, variables: dict[str, str], environ: dict[str, str]
) -> None:
    bad: list[str] = []

    def respond(request: Request) -> Response:
        if request.headers["Idempotency-Key"] in bad:
            return Response(500, body=b"at com.acme.hr2020.Punch\n" * 1_000)
        return Response()

    with (
        HttpServer(respond).running() as server,
        wired({**variables, "LEGACY_URL": server.url, **environ}),
    ):
        bad += service.accept(range(1, 21))[:1]
        service.replicate()
        service.integrate(20)
    assert service.statuses() == {"INTEGRATED": 19, "ERROR": 1}
    ((log,),) = service.rows("SELECT DISTINCT log FROM integration_log WHERE status = 'ERROR'")
    assert "[secret]" in log
    assert "hr2020" not in log
    assert len(log) == 8_000


def test_error_description_of_the_token_endpoint_tells_no_secret(
    service: Service, variables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: Request) -> Response:
        said = f"{request.body.decode()} {request.headers['Authorization']} {CLIENT_SECRET}"
        document = {"error": "invalid_client", "error_description": f"client unknown: {said}"}
        return Response(401, body=json.dumps(document).encode())

    with HttpServer(refuse).running() as issuer:
        environ = {**variables, **MODES["oauth2"], "LEGACY_TOKEN_URL": issuer.url}
        with wired(environ):
            service.accept([1])
            service.replicate()
            service.integrate()
            records = service.get("/odata/PointRecords?$expand=logs").body.decode()
    output = capsys.readouterr().out
    assert "client unknown" in output
    assert "client unknown" not in records
    for form in encoded(CLIENT_SECRET):
        assert form not in output
        assert form not in records


def test_exception_in_a_call_reveals_no_secret(
    service: Service,
    variables: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(connection: LegacyConnection, *_: object) -> None:
        raise RuntimeError(f"bug: {SECRET} {connection._headers}")

    monkeypatch.setattr(LegacyConnection, "call", fail)
    with wired({**variables, **MODES["basic"]}):
        service.accept([1])
        service.replicate()
        service.integrate()
        records = service.get("/odata/PointRecords?$expand=logs").body.decode()
    output = capsys.readouterr().out
    assert "bug: [secret]" in output
    for form in encoded(SECRET):
        assert form not in output
        assert form not in records
