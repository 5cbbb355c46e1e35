"""npm packages are installed in unusual environments, too."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from local import node
from tests.support.http_server import HttpServer, Response

MANIFEST = {"name": "small", "version": "1.0.0"}


def package() -> bytes:
    """Return an npm package that has nothing but its manifest."""
    content, manifest = io.BytesIO(), json.dumps(MANIFEST).encode()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))
    return content.getvalue()


@pytest.mark.parametrize("usable", [True, False])
def test_packages_are_installed_whether_or_not_the_home_directory_can_be_written(
    usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" if usable else Path("/dev/null/home")
    if usable:
        home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in [each for each in os.environ if each.lower() == "npm_config_cache"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(node, "PROJECT", tmp_path)
    with HttpServer(lambda _: Response(body=package())).running() as registry:
        root = {"dependencies": {"small": f"{registry.origin}/small.tgz"}}
        small = MANIFEST | {"resolved": f"{registry.origin}/small.tgz"}
        lock = {"lockfileVersion": 3, "packages": {"": root, "node_modules/small": small}}
        (tmp_path / "package.json").write_text(json.dumps(root))
        (tmp_path / "package-lock.json").write_text(json.dumps(lock))

        _, modules = node.install(tmp_path, "packages")

    assert json.loads((modules / "small" / "package.json").read_text()) == MANIFEST
    assert (tmp_path / ".local" / "npm" / "cache").exists() is not usable
    assert (home / ".npm").exists() is usable


def test_cache_that_the_user_has_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null/x")
    monkeypatch.delenv("npm_config_cache", raising=False)
    assert not node._has_npm_cache()
    monkeypatch.setenv("NPM_CONFIG_CACHE", "/cache")
    assert node._has_npm_cache()


def test_user_without_a_home_directory_gets_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("npm_config_cache", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # no entry for any number
    assert not node._has_npm_cache()
