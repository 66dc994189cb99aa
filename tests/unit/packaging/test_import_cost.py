"""Help comes at once: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# pydantic is not among them: typer itself imports it where a command takes a path.
HEAVY = (
    "libcloud",
    "boto3",
    "botocore",
    "sqlmodel",
    "sqlalchemy",
    "pydantic_settings",
    "fastapi",
    "alembic",
)

RUN = """
import sys
sys.argv = ["cloudmon", *{arguments!r}]
from cloudmon.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def imported(code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stderr.split("imported:")[1].split()


@pytest.mark.parametrize("arguments", [("--help",), ("plan", "--help"), ("--version",)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(RUN.format(arguments=list(arguments), heavy=HEAVY)) == []


def test_the_measure_sees_a_heavy_import() -> None:
    code = "import sqlmodel, sys; print('imported:', *[n for n in ('sqlmodel',) if n in sys.modules], file=sys.stderr)"
    assert imported(code) == ["sqlmodel"]


def test_settings_import_no_cloud_and_no_database() -> None:
    code = (
        "import sys, cloudmon.settings; print('imported:', *[n for n in "
        "('libcloud', 'boto3', 'sqlmodel', 'sqlalchemy', 'cloudmon_providers') if n in sys.modules], file=sys.stderr)"
    )
    assert imported(code) == []


@pytest.mark.parametrize("provider", ["dummy", "local", "aws", "generic"])
def test_a_providers_options_are_checked_without_importing_its_cloud_library(provider: str) -> None:
    code = (
        f"import sys; from cloudmon import plugins; plugins.settings_model({provider!r}); "
        "print('imported:', *[n for n in ('libcloud', 'boto3', 'requests') if n in sys.modules], file=sys.stderr)"
    )
    assert imported(code) == []
