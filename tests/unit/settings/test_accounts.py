"""Accounts of sets in the settings file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cloudmon.errors import CloudmonError
from cloudmon.model import specs
from cloudmon.model.grants import Access
from cloudmon.settings import load
from cloudmon.testing.guest_words import KEY

OTHER = KEY.replace("ICRJ", "ICRK")


def test_an_account_becomes_a_value_and_comes_back_from_the_store(write: Any, tmp_path: Path) -> None:
    (tmp_path / "ada.pub").write_text(f"# of her laptop\n{OTHER}\n")
    found = load(
        write(
            f'accounts.ada = {{ keys = ["{KEY}"], key_files = ["ada.pub"], rights = ["sudo", "adm"], '
            "until = 2027-01-31T00:00:00Z }\n"
        )
    )
    (spec,) = found.specs()
    assert spec.accounts == {"ada": Access((KEY, OTHER), ("adm", "sudo"), dt.datetime(2027, 1, 31, tzinfo=dt.UTC))}
    assert specs.from_json(specs.to_json(spec)) == spec


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("accounts.root = { keys = [] }", "no name for an account", id="root"),
        pytest.param("accounts.ada = {}", "an account is opened by keys", id="no key"),
        pytest.param('accounts.ada = { keys = ["ssh-rsa AAAA"] }', "says that it is of another", id="cut short"),
        pytest.param('accounts.ada = { key_files = ["id"] }', "is a private key; give the public one", id="private"),
        pytest.param('accounts.ada = { key_files = ["away.pub"] }', "cannot be read: No such file", id="no file"),
        pytest.param('accounts.ada = { rights = ["a b"] }', "no name of a group", id="a right"),
    ],
)
def test_what_is_no_account_is_one_sentence_that_shows_no_key(
    write: Any, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(CloudmonError) as wrong:
        load(write(text + "\n"))
    assert sentence in wrong.value.message
    assert "c2VjcmV0" not in wrong.value.message
