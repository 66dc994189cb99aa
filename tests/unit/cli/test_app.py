"""The front door: every command can be found, explained and loaded, and errors come out as promised."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cloudmon.cli import app as front
from cloudmon.cli.app import COMMANDS, app
from cloudmon.errors import StoreUnavailable

SUBCOMMANDS = {
    "sets": ("list", "show", "extend", "pause", "protect", "maintain", "release", "retire"),
    "orphans": ("end",),
    "placement": ("show",),
    "audit": ("verify", "show"),
    "policy": ("list", "show", "test"),
    "notify": ("list", "test"),
    "accounts": ("grant", "revoke", "list"),
}
SILENT = {"init", "schema", "run", "upgrade"}
READS = [
    name
    for name in COMMANDS
    if name not in {*SILENT, "sets", "placement", "audit", "policy", "agent", "template", "notify", "accounts"}
]


def invoke(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(arguments))
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_explains_itself(name: str) -> None:
    code, out, _ = invoke(name, "--help")
    assert code == 0
    assert f"cloudmon {name}" in out or f"{name} [OPTIONS]" in out


@pytest.mark.parametrize(("name", "inner"), [(name, inner) for name in SUBCOMMANDS for inner in SUBCOMMANDS[name]])
def test_every_inner_command_explains_itself(name: str, inner: str) -> None:
    code, out, _ = invoke(name, inner, "--help")
    assert code == 0
    assert "--config" in out


@pytest.mark.parametrize("name", READS)
def test_every_result_can_be_had_as_table_json_and_csv(name: str) -> None:
    _, out, _ = invoke(name, "--help")
    assert "--output" in out
    assert "table|json|csv" in out.replace(" ", "").replace("\n", "")


def test_help_lists_every_command_with_one_line_and_loads_none() -> None:
    code, out, _ = invoke("--help")
    assert code == 0
    for name, entry in COMMANDS.items():
        assert name in out
        assert entry.help.endswith(".")
    assert len(front.Commands().commands) == len(COMMANDS)


@pytest.mark.parametrize("where", ["here", "in a thread"])
def test_an_error_of_the_program_itself_is_told_without_secrets(where: str) -> None:
    """In a process of its own, for the hooks are the process's."""
    code = (
        "import threading, sys\n"
        "from cloudmon import logs\n"
        "from cloudmon.cli import app\n"
        "def fail(*_, **__):\n"
        "    raise ZeroDivisionError('postgresql://cm:hunter2@db/x') from OSError('the ' + 'sword' + 'fish')\n"
        "def beside(*_, **__):\n"
        "    thread = threading.Thread(target=fail); thread.start(); thread.join(); return 1\n"
        "logs.conceal(['sword' + 'fish'])\n"
        f"app.typer.main.get_command = lambda _: type('', (), {{'main': {'fail' if where == 'here' else 'beside'}}})\n"
        "app.main()\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "ZeroDivisionError: postgresql://cm:***@db/x" in found.stderr
    assert "OSError: the ***" in found.stderr
    assert "Traceback" in found.stderr
    assert "hunter2" not in found.stderr
    assert "swordfish" not in found.stderr


def test_a_misspelt_command_is_a_usage_error_with_the_nearest_name() -> None:
    code, _, error = invoke("statsu")
    assert code == 1
    assert "status" in error


def test_no_command_at_all_shows_help() -> None:
    code, out, error = invoke()
    assert code == 2
    assert "plan" in out + error


def test_version() -> None:
    assert invoke("--version")[1].startswith("cloudmon ")


ENDS = {
    "an error of ours is its sentence": (StoreUnavailable("the store does not answer"), 1, "the store does not answer"),
    "an interrupt": (KeyboardInterrupt(), 130, "interrupted"),
}


@pytest.mark.parametrize(("error", "code", "said"), ENDS.values(), ids=ENDS)
def test_how_errors_end(error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise error

    one = front.group()
    one.command("monitors")(failing)
    monkeypatch.setattr(front, "_load", lambda name, entry: typer.main.get_command(one))
    assert invoke("monitors") == (code, "", f"cloudmon: {said}\n")
