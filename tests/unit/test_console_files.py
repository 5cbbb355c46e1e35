"""The files of the console: complete, small, cacheable, and closed to everything else."""

import re
from pathlib import Path

import pytest

from chalicelib.console import console_files
from chalicelib.errors import MisconfiguredError, NotFoundError
from chalicelib.settings import Settings, SettingsError

FILES = Path(console_files.__file__).parent / "files"
NAMES = sorted(each.name for each in FILES.iterdir())
# What a phone loads at its first visit, uncompressed.
MAX_BYTES = 160 * 1024
ISSUER = Settings(
    jwt_issuer="https://issuer.example/realms/punch",
    console_client_id="console",
    console_origins="https://login.example https://other.example:8443",
)


def test_the_console_is_small_and_has_no_long_lines() -> None:
    assert sum((FILES / name).stat().st_size for name in NAMES) < MAX_BYTES
    for name in NAMES:
        if not name.startswith(("uPlot", "style")):
            lines = (FILES / name).read_text(encoding="utf-8").splitlines()
            assert len(lines) < 320, name
            assert [each for each in lines if len(each) > 340] == [], name


@pytest.mark.parametrize("name", [name for name in NAMES if name != "index.html"])
def test_each_file_is_kept_for_a_year_under_the_url_of_its_version(name: str) -> None:
    file = console_files.file(console_files.version(), name, "")
    assert file.status == 200
    assert file.body == (FILES / name).read_text(encoding="utf-8")
    assert "immutable" in file.headers["Cache-Control"]
    again = console_files.file(console_files.version(), name, file.headers["ETag"])
    assert (again.status, again.body) == (304, "")


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (None, "nothing.js"),
        (None, "index.html"),
        (None, "../console_files.py"),
        (None, "../../settings.py"),
        ("0" * 16, "app.js"),
    ],
)
def test_no_other_file_is_served(version: str | None, name: str) -> None:
    with pytest.raises(NotFoundError):
        console_files.file(version or console_files.version(), name, "")


def test_the_page_is_asked_for_again_and_names_the_present_version() -> None:
    page = console_files.page("", Settings())
    assert page.headers["Cache-Control"] == "no-cache"
    references = re.findall(r'(?:src|href)="console/([^/"]+)/([^"]+)"', page.body)
    assert {version for version, _ in references} == {console_files.version()}
    assert {name for _, name in references} <= set(NAMES)
    etag = page.headers["ETag"]
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        assert console_files.page(header, Settings()).status == 304
    assert console_files.page('"x"', Settings()).status == 200


def test_each_module_that_a_module_imports_is_a_file() -> None:
    imported = {
        name
        for path in FILES.glob("*.js")
        if not path.name.startswith("uPlot")
        for name in re.findall(r"from '\./([\w.]+)'", path.read_text(encoding="utf-8"))
    }
    assert imported <= set(NAMES)
    own = {name for name in NAMES if name.endswith(".js") and not name.startswith("uPlot")}
    assert own - imported == {"app.js"}


def test_the_page_may_load_nothing_else() -> None:
    policy = console_files.page("", Settings()).headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert dict(each.split(" ", 1) for each in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    html = (FILES / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=|https?:", html)


def test_the_issuer_is_the_only_other_place_that_the_page_may_connect_to() -> None:
    policy = console_files.page("", ISSUER).headers["Content-Security-Policy"]
    assert (
        "connect-src 'self' https://issuer.example https://login.example"
        " https://other.example:8443;" in policy
    )
    assert console_files.configuration(ISSUER) == {
        "issuer": "https://issuer.example/realms/punch",
        "clientId": "console",
        "scope": "openid",
        "operatorRoutes": True,
    }
    assert console_files.configuration(Settings(operator_routes="off")) == {
        "issuer": None,
        "clientId": None,
        "scope": "openid",
        "operatorRoutes": False,
    }


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"CONSOLE_CLIENT_ID": "x", "JWT_ISSUER": "punch"}, "JWT_ISSUER"),
        ({"CONSOLE_CLIENT_ID": "x", "JWT_ISSUER": "https://x.example; script-src *"}, "JWT_ISSUER"),
        ({"CONSOLE_ORIGINS": "*"}, "CONSOLE_ORIGINS"),
        ({"CONSOLE_ORIGINS": "https://x.example/path"}, "CONSOLE_ORIGINS"),
        ({"CONSOLE_ORIGINS": "https://x.example; script-src *"}, "CONSOLE_ORIGINS"),
    ],
)
def test_a_setting_that_would_change_the_policy_is_refused(
    variables: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(variables)


def test_a_client_id_without_an_issuer_stops_the_console_and_no_schedule() -> None:
    settings = Settings.from_env({"CONSOLE_CLIENT_ID": "x"})  # as schedules have it on AWS
    for serve in (console_files.configuration, lambda each: console_files.page("", each)):
        with pytest.raises(MisconfiguredError, match="JWT_ISSUER"):
            serve(settings)
