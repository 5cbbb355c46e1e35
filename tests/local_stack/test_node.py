"""npm packages are installed in unusual environments, too."""

import io
import json
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
