"""Differences and hashes, and the signatures under what is said."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stub_monitor import hash_of

from cloudmon.agent import signing, states
from cloudmon.model import states as monitors

ITEMS = st.dictionaries(
    st.text(max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 0.5, "x"])),
    max_size=4,
)
SECTIONS = st.dictionaries(st.sampled_from(["load", "files", "disks"]), ITEMS)


def applied(sections: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """As the protocol says it, written out once more."""
    found = {name: dict(items) for name, items in sections.items()}
    for name, change in told.items():
        if change.get("gone"):
            del found[name]
            continue
        section = found.setdefault(name, {})
        section.update(change["set"])
        for item in change["del"]:
            del section[item]
    return found


def hash_by_agent(sections: dict[str, Any]) -> str:
    return states.state_hash({name: states.section_hash(section) for name, section in sections.items()})


@given(SECTIONS, SECTIONS)
def test_what_was_and_the_difference_make_what_is_by_hash(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = applied(old, states.difference(old, new))
    assert hash_by_agent(found) == hash_by_agent(new) == hash_of(new)


@given(SECTIONS, SECTIONS)
def test_the_monitor_adds_up_the_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = monitors.apply(old, states.difference(old, new))
    assert monitors.state_hash(found) == hash_by_agent(new)


@given(SECTIONS)
def test_of_what_is_the_same_nothing_is_told(sections: dict[str, Any]) -> None:
    copied = {name: {item: dict(value) for item, value in items.items()} for name, items in sections.items()}
    assert states.difference(sections, copied) == {}


KEY = signing.Key("k.a.1.1.1.9", b"s" * 32)
NONCE = "n" * 22
DATED = 1_767_225_600


def reply(
    body: bytes, *, status: int = 200, key: signing.Key = KEY, nonce: str = NONCE, covered: str = signing.REPLY
) -> dict[str, str]:
    parameters = f'{covered};created={DATED};nonce="{nonce}";keyid="{key.id}";alg="hmac-sha256"'
    content = signing.digest(body)
    base = f'"@status": {status}\n"content-digest": {content}\n"@signature-params": {parameters}'
    return {
        "content-digest": content,
        "signature-input": f"cm={parameters}",
        "signature": f"cm=:{signing._mac(key, base)}:",
    }


def test_only_a_reply_to_this_very_request_is_believed() -> None:
    body = b'{"v":1}'
    assert signing.believed(KEY, NONCE, 200, reply(body), body) == DATED
    other = signing.Key(KEY.id, b"t" * 32)
    for status, headers, content in (
        (200, {}, body),
        (200, reply(body), body + b" "),
        (409, reply(body), body),
        (200, reply(body, nonce="m" * 22), body),
        (200, reply(body, key=other), body),
        (200, reply(body, key=KEY._replace(id="k.b")), body),
        (200, reply(body, covered='("@status")'), body),
        (200, {**reply(body), "signature": "cm=::"}, body),
        (200, {**reply(body), "content-digest": signing.digest(b"")}, body),
    ):
        assert signing.believed(KEY, NONCE, status, headers, content) is None, headers


@given(
    st.sampled_from(["content-digest", "signature-input", "signature"]), st.integers(0), st.characters(codec="ascii")
)
def test_no_character_of_a_signed_reply_can_be_another(name: str, at: int, character: str) -> None:
    body = b"{}"
    headers = reply(body)
    text = headers[name]
    at %= len(text)
    if text[at] != character:
        headers[name] = text[:at] + character + text[at + 1 :]
        assert signing.believed(KEY, NONCE, 200, headers, body) is None
