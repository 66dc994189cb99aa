"""Keys and tokens: derived from one key, so that nothing secret is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.channel import keys, tokens
from cloudmon.model.identity import ApplianceId

CHANNEL = b"a channel key of some length"
FIRST = ApplianceId("abcdefghijkl", 3)


def test_a_keys_secret_follows_from_its_id() -> None:
    key = keys.new(FIRST, 2, 7, now=1_000)
    assert key.id == f"k.abcdefghijkl.3.2.7.{1_000 + 86_400}"
    assert keys.secret_of(CHANNEL, key.id) == hmac.new(CHANNEL, b"key|" + key.id.encode(), hashlib.sha256).digest()
    assert keys.secret_of(CHANNEL, key.id) != keys.secret_of(b"another", key.id)
    assert keys.parse(key.id) == key


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**10 - 1), st.integers(0, 10**10 - 1), st.integers(0, 10**12 - 1))
def test_every_key_is_read_from_its_id(ordinal: int, incarnation: int, serial: int, expires_at: int) -> None:
    key = keys.Key(ApplianceId("a2b", ordinal), incarnation, serial, expires_at)
    assert keys.parse(key.id) == key


@pytest.mark.parametrize(
    "key_id",
    [
        "", "k", "k.a.1.1.1", "k.a.1.1.1.1.1", "k.A.1.1.1.1", "k.a.01.1.1.1", "k.a.-1.1.1.1", "k.a.1.1.1.1 ",
        "k.a.1.1.1.1\n", "k..1.1.1.1", "x.a.1.1.1.1", "e:a-b-1-1", "k.a.\u0661.1.1.1", "k.a.1e3.1.1.1", "k.a.1_0.1.1.1",
    ],
)  # fmt: skip
def test_what_is_no_id_of_a_key_is_none(key_id: str) -> None:
    assert keys.parse(key_id) is None


def test_a_key_is_renewed_when_less_than_half_of_its_life_is_left() -> None:
    key = keys.new(FIRST, 1, 1, now=0)
    assert keys.renewed(key, 1, now=43_200) is None
    assert keys.renewed(key, 1, now=43_201) == keys.Key(FIRST, 1, 1, 43_201 + 86_400)


def test_a_token_names_the_authority_and_the_seat_and_is_always_the_same() -> None:
    ca = "c" * 43
    text = tokens.text(CHANNEL, ca, tokens.id_of_user_data(FIRST, 2))
    assert text == tokens.text(CHANNEL, ca, "a-abcdefghijkl-3-2")
    found = tokens.parse(text)
    assert found is not None
    assert (found.ca, found.id) == (ca, "a-abcdefghijkl-3-2")
    secret = hmac.new(CHANNEL, b"enrol|a-abcdefghijkl-3-2", hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(found.secret + "=") == secret
    assert tokens.seat(found.id) == tokens.Seat(FIRST, 2)
    assert found.secret not in repr(found)


def test_tokens_made_by_hand_have_ids_of_their_own() -> None:
    one, other = tokens.new_id(), tokens.new_id()
    assert one != other
    assert tokens.is_id(one)
    assert tokens.seat(one) is None
    assert tokens.parse(tokens.text(CHANNEL, tokens.NO_CA, one)) is not None


@pytest.mark.parametrize(
    "text", ["", "cm1", "cm1.-.a-b-1-1.short", "cm2.-.a-b-1-1." + "s" * 43, "cm1.x.a-b-1-1." + "s" * 43]
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert tokens.parse(text) is None


@pytest.mark.parametrize(
    "text", ["", "m-", "a-b-1", "a-b-1-1-1", "a-b-01-1", "m-ABCDEFGHIJKL", "m-abcdefghijkl\n", "x-b-1-1"]
)
def test_what_is_no_id_of_an_enrolment_is_none(text: str) -> None:
    assert not tokens.is_id(text)
    assert tokens.seat(text) is None


def test_a_key_and_a_token_never_share_a_secret() -> None:
    assert keys.secret_of(CHANNEL, "a-b-1-1") != tokens.secret_of(CHANNEL, "a-b-1-1")
