"""Who gets in: a table of refusals, and a million requests that were changed."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from typing import Any

import pytest
from mutated import KEY, NOW, UID, agent, gate_of, let_through, originals

from cloudmon.channel import gate, keys, signing, tokens
from cloudmon.channel.gate import Caller, ClockOff, Gate, Head, Reason, Refused, Wait
from cloudmon.channel.replays import AHEAD_S, BEHIND_S, Replays
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId

UNIX = int(NOW.timestamp())
FIRST = ApplianceId(UID, 1)
OURS = keys.new(FIRST, 1, 1, now=UNIX)
BODY = b'{"v":1}'


def head(
    key_id: str = OURS.id,
    *,
    secret: bytes | None = None,
    path: bytes = gate.REPORT,
    created: int = UNIX,
    nonce: str = "n" * 22,
    method: bytes = b"POST",
) -> Head:
    known = keys.secret_of(KEY, key_id) if secret is None else secret
    headers = signing.sign_request(
        known, key_id, method=method.decode(), path=path.decode(), body=BODY, created=created, nonce=nonce
    )  # fmt: skip
    return Head(method, path, b"", headers)


def verify(asked: Head, body: bytes = BODY, door: Gate | None = None, now: dt.datetime = NOW) -> Any:
    return (door or gate_of()).verify(asked, body, now=now, date=now.timestamp(), monotonic=0.0)


def of_agent(found: Agent | None) -> Gate:
    return Gate(KEY, lambda _: found, Replays(NOW.timestamp() - 3_600, -3_600.0))


def test_who_signs_with_his_key_is_who_the_key_says() -> None:
    found = verify(head())
    assert isinstance(found, Caller)
    assert (found.appliance, found.nonce, found.key_id) == (FIRST, "n" * 22, OURS.id)
    assert keys.secret_of(KEY, OURS.id).hex() not in repr(found)


def test_who_enrols_signs_with_his_token() -> None:
    enrolment = tokens.id_of_user_data(FIRST, 1)
    asked = head(tokens.KEY_PREFIX + enrolment, secret=tokens.secret_of(KEY, enrolment), path=gate.ENROL)
    found = verify(asked)
    assert isinstance(found, Caller)
    assert (found.enrolment_id, found.key) == (enrolment, None)


ENROLS = tokens.KEY_PREFIX + tokens.id_of_user_data(FIRST, 1)
TOKEN = tokens.secret_of(KEY, tokens.id_of_user_data(FIRST, 1))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param(head(method=b"GET"), Reason.PATH, id="another method"),
        pytest.param(head(path=b"/channel/v1/other"), Reason.PATH, id="another path"),
        pytest.param(head(path=b"/channel/v1/report/"), Reason.PATH, id="a slash more"),
        pytest.param(Head(b"POST", gate.REPORT, b"", []), Reason.UNSIGNED, id="unsigned"),
        pytest.param(head("nonsense"), Reason.KEY, id="no id of a key"),
        pytest.param(head("e:nonsense", path=gate.ENROL), Reason.KEY, id="no id of an enrolment"),
        pytest.param(head(secret=b"guessed"), Reason.SIGNATURE, id="another secret"),
        pytest.param(head()._replace(path=gate.POLL), Reason.SIGNATURE, id="sent to another path"),
        pytest.param(head()._replace(query=b"x=1"), Reason.SIGNATURE, id="a query more"),
        pytest.param(head(path=gate.ENROL), Reason.PURPOSE, id="an appliance's key that enrols"),
        pytest.param(head(ENROLS, secret=TOKEN), Reason.PURPOSE, id="a token that reports"),
        pytest.param(head(keys.Key(FIRST, 1, 1, UNIX).id), Reason.EXPIRED, id="expired this second"),
        pytest.param(head(keys.new(ApplianceId(UID, 9), 1, 1, now=UNIX).id), Reason.UNKNOWN, id="never enrolled"),
        pytest.param(head(keys.new(FIRST, 1, 0, now=UNIX).id), Reason.SUPERSEDED, id="an earlier agent's key"),
        pytest.param(head(keys.new(FIRST, 1, 2, now=UNIX).id), Reason.SUPERSEDED, id="a later agent's key"),
        pytest.param(head(keys.new(FIRST, 2, 1, now=UNIX).id), Reason.SUPERSEDED, id="another incarnation"),
    ],
)
def test_a_request_is_refused_with_its_reason(asked: Head, reason: Reason) -> None:
    found = verify(asked)
    assert isinstance(found, Refused)
    assert found.reason is reason


def test_a_revoked_agent_is_refused_at_once() -> None:
    assert isinstance(verify(head(), door=of_agent(agent(1))), Caller)
    refused = verify(head(), door=of_agent(replace(agent(1), revoked_at=NOW)))
    assert refused == Refused(Reason.REVOKED, OURS.id)


def test_a_body_that_was_not_signed_is_refused_and_the_signed_one_still_comes_in() -> None:
    door = gate_of()
    assert verify(head(), BODY + b" ", door) == Refused(Reason.DIGEST, OURS.id)
    assert isinstance(verify(head(), BODY, door), Caller)


def test_a_request_comes_in_once() -> None:
    door = gate_of()
    assert isinstance(verify(head(), door=door), Caller)
    assert verify(head(), door=door) == Refused(Reason.REPLAY, OURS.id)
    assert verify(head(created=UNIX - 1), door=door) == Refused(Reason.REPLAY, OURS.id), "a nonce is used once"
    assert isinstance(verify(head(nonce="m" * 22), door=door), Caller)


def test_of_two_that_come_at_once_one_comes_in() -> None:
    """Both heads are looked at before either body is there."""
    door = gate_of()
    one, other = (door.knows(head(), now=NOW, date=UNIX, monotonic=0.0) for _ in range(2))
    assert isinstance(one, Caller)
    assert isinstance(other, Caller)
    assert door.admits(one, BODY, monotonic=0.0) is None
    assert door.admits(other, BODY, monotonic=0.0) == Refused(Reason.REPLAY, OURS.id)


@pytest.mark.parametrize(
    ("off_s", "kind"),
    [(-BEHIND_S - 1, ClockOff), (-BEHIND_S, Caller), (0, Caller), (AHEAD_S, Caller), (AHEAD_S + 1, ClockOff)],
)
def test_a_request_is_taken_from_a_while_ago_to_a_moment_ahead(off_s: int, kind: type) -> None:
    assert isinstance(verify(head(created=UNIX + off_s)), kind)


def test_a_clock_that_is_off_uses_up_no_nonce() -> None:
    door = gate_of()
    assert isinstance(verify(head(created=UNIX + 3_000), door=door), ClockOff)
    assert isinstance(verify(head(), door=door), Caller)


def test_a_process_takes_nothing_that_its_predecessor_may_have_taken() -> None:
    """Whatever is replayed after a restart, at whatever time, was dated before the new process takes anything."""
    begun = NOW + dt.timedelta(seconds=10.3)
    taken = [head(created=UNIX + at, nonce=f"{at:022}") for at in range(-BEHIND_S, 11 + AHEAD_S)]
    before = gate_of()
    good = [
        asked
        for at, asked in zip(range(-BEHIND_S, 11 + AHEAD_S), taken, strict=True)
        if isinstance(verify(asked, door=before, now=NOW + dt.timedelta(seconds=max(0, min(at, 10)))), Caller)
    ]
    assert len(good) > BEHIND_S
    for later_s in (0.0, 1.0, 2.5, 5.0, 100.0, 300.0):
        now = begun + dt.timedelta(seconds=later_s)
        after = Gate(KEY, {FIRST: agent(1)}.get, Replays(begun.timestamp(), 0.0))
        again = (after.verify(one, BODY, now=now, date=now.timestamp(), monotonic=later_s) for one in good)
        assert not [found for found in again if isinstance(found, Caller)]


def test_who_comes_right_after_the_begin_is_asked_to_wait_and_then_taken() -> None:
    door = Gate(KEY, {FIRST: agent(1)}.get, Replays(NOW.timestamp(), 0.0))
    found = verify(head(), door=door)
    assert isinstance(found, Wait)
    later = found.retry_after_s
    assert 0 < later <= AHEAD_S + 1
    again = head(created=UNIX + later)
    assert isinstance(verify(again, door=door, now=NOW + dt.timedelta(seconds=later)), Caller)


def test_a_slow_clock_learns_the_time_after_a_begin() -> None:
    door = Gate(KEY, {FIRST: agent(1)}.get, Replays(NOW.timestamp(), 0.0))
    found = verify(head(created=UNIX - 100), door=door, now=NOW + dt.timedelta(seconds=60))
    assert isinstance(found, ClockOff)


def test_who_asks_too_much_is_asked_to_wait() -> None:
    memory = Replays(NOW.timestamp() - 3_600, 0.0, per_key=2)
    door = Gate(KEY, {FIRST: agent(1)}.get, memory)
    kinds = [type(verify(head(nonce=f"{at:022}"), door=door)) for at in range(3)]
    assert kinds == [Caller, Caller, Wait]


def test_a_stolen_head_with_another_agents_body_is_refused() -> None:
    other = keys.new(ApplianceId(UID, 2), 1, 2, now=UNIX)
    assert isinstance(verify(head(other.id)), Caller)
    mixed = head()._replace(headers=[*head().headers[:2], head(other.id).headers[2]])
    assert verify(mixed) == Refused(Reason.SIGNATURE, OURS.id)


@pytest.mark.parametrize("seed", [1, 2])
def test_of_a_million_requests_that_were_changed_none_comes_in(seed: int) -> None:
    assert let_through(500_000, random.Random(seed)) == 0


def test_the_measure_sees_a_verifier_that_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "request_fits", lambda *_, **__: True)
    assert let_through(2_000, random.Random(1)) > 0


def test_the_measure_sees_a_verifier_that_refuses_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "request_fits", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="nobody changed"):
        let_through(10, random.Random(1))


def test_the_good_ones_among_them_are_good() -> None:
    door = gate_of()
    for method, path, query, headers, body in originals(random.Random(3)):
        assert isinstance(verify(Head(method, path, query, headers), body, door), Caller)
