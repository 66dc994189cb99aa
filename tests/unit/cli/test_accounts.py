"""Accounts from the command line: granted, listed, taken back, and refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudmon.model.grants import fingerprint
from cloudmon.testing.guest_words import KEY

REASON = ("--reason", "on call")


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "id.pub"
    path.write_text(f"{KEY}\n")
    return str(path)


def test_an_account_is_granted_listed_and_taken_back(cli: Any, estate: Any, key: str) -> None:
    """The command does it itself where no monitor runs."""
    said = cli("accounts", "grant", "storefront", "ada", "-k", key, "--rights", "sudo", "--until", "30d", *REASON)
    assert "ada is granted an account on all of storefront until" in said.stdout
    (row,) = cli.json("accounts", "list")
    assert (row["user"], row["rights"], row["keys"], row["reason"]) == ("ada", ["sudo"], [fingerprint(KEY)], "on call")
    (row,) = cli.json("accounts", "list", "storefront")
    assert row["on"].startswith("0 of ")
    assert "ada is to be gone" in cli("accounts", "revoke", "storefront", "ada", *REASON).stdout
    assert cli.json("accounts", "list") == []
    assert "no account ada is granted" in cli("accounts", "revoke", "storefront", "ada", *REASON, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("storefront", "root"), "no name for an account", id="root"),
        pytest.param(("storefrnt", "ada"), "did you mean storefront", id="no set"),
        pytest.param(("storefront/1", "ada"), "on whole sets; say storefront", id="one member"),
        pytest.param(("storefront", "ada", "--rights", "a b"), "no name of a group", id="a right"),
        pytest.param(("storefront", "ada", "--until", "soon"), "neither a duration", id="an end"),
    ],
)
def test_what_cannot_be_granted_is_refused_at_once(
    cli: Any, estate: Any, key: str, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli("accounts", "grant", *arguments, "-k", key, *REASON, code=1).stderr


def test_a_private_key_is_refused_and_not_shown(cli: Any, estate: Any, tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
    found = cli("accounts", "grant", "storefront", "ada", "-k", str(path), *REASON, code=1)
    assert "is a private key" in found.stderr
    assert "c2VjcmV0" not in found.stderr + found.stdout
