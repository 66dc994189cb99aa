"""The wheel holds what it should, nothing else, and works where nothing of the source tree is in sight."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

IMPORT_ALL = """
import importlib, pkgutil, sys
import cloudmon, cloudmon_providers
for package in (cloudmon, cloudmon_providers):
    assert package.__path__[0].startswith({unpacked!r}), package.__path__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # Alembic runs migrations with a context of its own, and importing a __main__ would run it.
        if ".migrations." not in module.name and not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
from cloudmon import plugins
for name in plugins.providers():
    assert plugins.provider(name).settings_model, name
print("whole")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the tools of the environment, without network."""
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


def in_tree(package: str) -> set[str]:
    folder = ROOT / package
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == in_tree("cloudmon") | in_tree("providers/cloudmon_providers")


def test_the_wheel_holds_types_migrations_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"cloudmon/py.typed", "cloudmon_providers/py.typed"} <= set(names)
    assert any(name.startswith("cloudmon/store/migrations/versions/") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "config/")) for name in names)


def test_both_packages_import_where_the_source_tree_is_not_in_sight(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    # -S leaves out .pth files, and with them the editable install; the libraries are put back by hand.
    path = f"import sys; sys.path[:0] = [{str(unpacked)!r}]; sys.path += [{sysconfig.get_path('purelib')!r}]\n"
    ran = subprocess.run(
        [sys.executable, "-S", "-E", "-P", "-W", "ignore", "-c", path + IMPORT_ALL.format(unpacked=str(unpacked))],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (ran.stdout.strip(), ran.returncode) == ("whole", 0), ran.stderr
