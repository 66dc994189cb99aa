"""Telling: from the outbox through routing to notifiers that fail, and never twice more than it must be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heralded import OPS, Bench, Scripted

from cloudmon import logs, plugins
from cloudmon.errors import Fenced, NoticeRefused, NotifierUnavailable, SettingsError, StoreUnavailable
from cloudmon.model.changes import Change, Telling
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.messages import DeliveryState
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import herald as heralds
from cloudmon.notices import trying, wording
from cloudmon.notifier import Notice
from cloudmon.settings import Settings
from cloudmon.settings.notify import NotifySettings
from cloudmon.settings.policies import PolicySettings, RemedySettings, RuleSettings
from cloudmon.testing.crashes import crashing


def test_what_becomes_of_a_finding_is_told_once_each(bench: Bench) -> None:
    """Opened, worse, ended; and the log shows it."""
    bench.open()
    bench.run()
    bench.open(severity="critical", message="on fire")
    bench.end()
    bench.run(90)
    assert bench.ops.titles == ["warning: not well", "critical now: on fire", "ended: on fire"]
    assert {state for _, state, _ in bench.log()} == {DeliveryState.SENT}
    assert bench.store.messages.waiting(EVERYONE, 9) == []


def test_a_quiet_estate_reads_nothing_and_writes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look each second costs no query."""
    bench.run()
    reads: list[str] = []
    monkeypatch.setattr(bench.store.messages, "waiting", lambda *_: reads.append("waiting") or [])
    bench.run(29)
    assert reads == []
    bench.run(1)
    assert reads == ["waiting"]


def test_where_nobody_is_told_nothing_is_kept_and_nothing_read(bench: Bench) -> None:
    """What was left for those who are not there any more is dropped or buried."""
    bench.ops.script.append(NotifierUnavailable("away"))
    bench.open()
    bench.run()
    bench.open("x/2")
    bench.herald.take_over(Settings(author="me"))
    bench.open("x/3")
    bench.run(60)
    assert bench.log() == [("warning: not well", DeliveryState.DEAD, 1)]
    assert bench.store.messages.waiting(EVERYONE, 9) == []
    assert len(bench.ops.got) == 1


def test_who_does_not_answer_is_asked_again_after_growing_pauses_and_all_else_waits(bench: Bench) -> None:
    """One try at a time, the oldest news first once he is back."""
    bench.ops.script.extend([NotifierUnavailable("away")] * 3)
    bench.open("x/1", "one")
    bench.open("x/2", "two")
    bench.run()
    assert len(bench.ops.got) == 1
    bench.run(4)
    assert len(bench.ops.got) == 1
    bench.run(1)
    assert len(bench.ops.got) == 2
    bench.run(40)
    assert sorted(bench.log()) == [
        ("warning: one", DeliveryState.SENT, 2),
        ("warning: two", DeliveryState.SENT, 3),
    ] or sorted(bench.log()) == [("warning: one", DeliveryState.SENT, 3), ("warning: two", DeliveryState.SENT, 2)]
    ids = {notice.id for notice in bench.ops.got}
    assert len(ids) == 2, "a repetition has the id of what it repeats"


def test_a_wish_to_be_left_alone_is_honoured(bench: Bench) -> None:
    """For as long as he says, and for all that is to be told."""
    bench.ops.script.append(NotifierUnavailable("slow down", retry_after_s=60))
    bench.open()
    bench.run(30)
    bench.open("x/2")
    bench.run(29)
    assert len(bench.ops.got) == 1
    bench.run(2)
    assert len(bench.ops.got) == 3


def test_one_that_is_refused_keeps_no_other_waiting_but_its_own_subject(bench: Bench) -> None:
    """Order within a subject, no queue behind a poisonous one."""
    bench.ops.script.append(NoticeRefused("400 Bad Request"))
    bench.open("x/1", "poison")
    bench.open("x/2", "bread")
    bench.end("x/1")
    bench.run()
    assert bench.ops.titles == ["warning: poison", "warning: bread"]
    bench.run(5)
    assert bench.ops.titles[2:] == ["warning: poison", "ended: poison"]


def test_what_is_refused_for_ever_is_given_up_and_what_comes_after_it_is_told(bench: Bench) -> None:
    """Dead, with the reason, in the log and in health."""
    bench.ops.script.extend([NoticeRefused("400 Bad Request")] * trying.MOST_REFUSALS)
    bench.open()
    bench.end()
    bench.run(3_600)
    (dead, told) = reversed(bench.store.messages.deliveries(EVERYONE))
    assert (dead.state, dead.attempts) == (DeliveryState.DEAD, trying.MOST_REFUSALS)
    assert dead.error == "given up after 10 tries: 400 Bad Request"
    assert told.state is DeliveryState.SENT
    assert bench.herald.health()[0].dead == 1


def test_news_that_grew_too_old_are_given_up(bench: Bench) -> None:
    """After as long as the settings say."""
    bench.begin(ops=NotifySettings(kind="scripted", give_up_after_s=60))
    bench.ops.script.extend([NotifierUnavailable("away")] * 99)
    bench.open()
    bench.run(90)
    assert [state for _, state, _ in bench.log()] == [DeliveryState.DEAD]


def test_health_shows_who_fails_and_that_he_is_well_again(bench: Bench) -> None:
    """With his own words, without secrets."""
    logs.conceal(["hunter22"])
    bench.ops.script.append(NotifierUnavailable("no answer to hunter22"))
    bench.open()
    bench.run(1)
    (found,) = bench.herald.health()
    assert (found.name, found.kind, found.failing, found.pending) == ("ops", "scripted", True, 1)
    assert found.last_error == "no answer to ***"
    assert bench.store.messages.deliveries(EVERYONE)[0].error == "no answer to ***"
    assert found.paused_until is not None
    bench.run(9)
    (found,) = bench.herald.health()
    assert (found.failing, found.pending, found.paused_until) == (False, 0, None)
    assert found.last_sent_at is not None


def test_a_storm_is_told_as_one_digest_and_what_follows_comes_after_it(bench: Bench) -> None:
    """10,000 findings at once; nobody is sent 10,000 messages."""
    for start in range(0, 10_000, 1_000):
        subjects = [f"x/{number}" for number in range(start, start + 1_000)]
        kind, now = FindingKind.FAULT, bench.clock.now()
        bench.write(
            *(Change("default", findings=(Finding(kind, s, "default", "warning", s, {}, now),)) for s in subjects)
        )
    bench.run(10)
    bench.end("x/7")
    bench.run(19)
    assert bench.ops.got == []
    bench.run(5)
    assert bench.ops.titles == ["warning: 10001 changes of findings (1 ended, 10000 opened)"]
    bench.end("x/8")
    bench.run(1)
    assert bench.ops.titles[1:] == ["ended: x/8"]


@pytest.mark.parametrize("point", ["store.before-commit", "store.after-commit"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_crash_at_any_commit_tells_it_all_the_same_with_the_same_id(bench: Bench, point: str, number: int) -> None:
    """Routing, the beginning of a try, its end: a successor tells what is not known to have arrived, in order."""
    bench.open(message="one")
    bench.end()
    with crashing(point, at=number):
        bench.run(1)
    bench.owner = bench.store.monitors.begin(host="there", pid=2, now=bench.clock.now())
    bench.begin().run()
    bench.run(30)
    titles = bench.ops.titles
    assert list(dict.fromkeys(titles)) == ["warning: one", "ended: one"]
    assert len(titles) <= 3, "what is known to have arrived is not told again"
    assert len({notice.id for notice in bench.ops.got}) == 2
    assert {state for _, state, _ in bench.log()} == {DeliveryState.SENT}


def test_a_monitor_that_was_replaced_sends_nothing(bench: Bench) -> None:
    """Its try is not begun."""
    bench.ops.script.append(NotifierUnavailable("away"))
    bench.open()
    bench.run()
    old = bench.herald
    bench.store.monitors.begin(host="there", pid=2, now=bench.clock.now())
    bench.clock.advance(10)
    old.run()
    with pytest.raises(Fenced):
        old.run()
    assert len(bench.ops.got) == 1


def test_who_hangs_keeps_nobody_else_waiting(bench: Bench) -> None:
    """Each notifier has a thread of its own, and the end waits for none of them for long."""
    began, hangs, told = threading.Event(), threading.Event(), threading.Event()

    def hang(notice: Notice) -> str:
        began.set()
        assert hangs.wait(20)
        return ""

    def tell(notice: Notice) -> str:
        told.set()
        return ""

    bench.ops.send = hang  # type: ignore[method-assign]
    bench.notifiers["boss"].send = tell  # type: ignore[method-assign]
    herald = bench.begin(start=heralds.on_thread, ops=OPS, boss=OPS)
    bench.open()
    herald.run()
    assert began.wait(20)
    assert told.wait(20)
    assert not herald.close(0.01)
    hangs.set()
    assert herald.close(20)


def test_a_rule_that_calls_by_name_is_told_to_him_alone_and_so_is_its_end(bench: Bench) -> None:
    """Whatever the filters say; another rule goes to all."""
    then = (RemedySettings(verb="notify", arguments={"to": "boss"}),)
    rule = RuleSettings(name="busy", when="load.one > 9.0", severity="info", then=then)
    bench.begin(PolicySettings(name="shop", rules=(rule,)), ops=OPS, boss=OPS)
    key, detected = "x/1:shop/busy", FindingKind.DETECTED
    bench.open(key, "busy", kind=detected, severity="info")
    bench.open("x/2:shop/other", "other", kind=detected)
    bench.run()
    bench.write(Change("default", tells=(Telling(detected, key, "boss"),)))
    bench.end(key, detected)
    bench.run(1)
    assert bench.ops.titles == ["warning: other"]
    assert bench.notifiers["boss"].titles == ["warning: other", "info: busy", "ended: busy"]


def trial(bench: Bench, name: str = "ops") -> str:
    one = wording.trial("t-1", name, "default", estate="e", author="cli:me", now=bench.clock.now())
    bench.store.messages.route(bench.owner, [one])
    return one.id


@pytest.mark.parametrize(
    ("said", "state"),
    [("", DeliveryState.SENT), (NotifierUnavailable("away", retry_after_s=900), DeliveryState.DEAD)],
    ids=["taken", "not taken"],
)
def test_a_trial_is_tried_once_and_answered(bench: Bench, said: Exception | str, state: DeliveryState) -> None:
    """Also while the notifier is left alone: somebody wants to know."""
    bench.ops.script.extend([NotifierUnavailable("away", retry_after_s=900), said])
    bench.open()
    bench.run(1)
    found = trial(bench)
    assert bench.run(1)
    assert not bench.run(1)
    delivery = bench.store.messages.delivery(EVERYONE, found)
    assert delivery is not None
    assert (delivery.state, delivery.attempts) == (state, 1)


def test_changed_settings_are_taken_for_mended(bench: Bench) -> None:
    """Nobody waits for the end of a pause that his correction made needless."""
    bench.ops.script.append(NotifierUnavailable("wrong password", retry_after_s=1))
    bench.open()
    bench.run(7)
    assert len(bench.ops.got) == 2
    bench.ops.script.append(NotifierUnavailable("wrong password", retry_after_s=900))
    bench.end()
    bench.run()
    bench.herald.take_over(bench.settings())
    bench.open("x/2")
    bench.run()
    assert bench.ops.titles[-1] == "warning: not well"
    assert bench.herald.health()[0].failing is False


@pytest.mark.parametrize("broken", ["make", "send"])
def test_a_broken_notifier_is_shown_and_stops_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Whatever it raises although its contract forbids it."""

    def factory(kind: str) -> Callable[..., Scripted]:
        def make(name: str, options: object, **_: object) -> Scripted:
            if name == "ops" and broken == "make":
                raise SettingsError("cannot be imported")
            return bench.notifiers[name]

        return make

    monkeypatch.setattr(plugins, "notifier", factory)
    bench.ops.script.append(ZeroDivisionError("oh"))
    bench.begin(ops=OPS, boss=OPS)
    bench.open()
    bench.run()
    assert bench.notifiers["boss"].titles == ["warning: not well"]
    shown = {one.name: one.last_error for one in bench.herald.health()}
    assert shown == {
        "ops": "it broke: ZeroDivisionError" if broken == "send" else "it cannot be made; the log says why", "boss": ""
    }  # fmt: skip


def test_a_store_that_is_away_is_looked_at_again(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost meanwhile."""
    bench.open()
    waiting = bench.store.messages.waiting

    def away(*_: Any) -> Any:
        raise StoreUnavailable

    monkeypatch.setattr(bench.store.messages, "waiting", away)
    bench.run(5)
    monkeypatch.setattr(bench.store.messages, "waiting", waiting)
    bench.run(26)
    assert bench.ops.titles == ["warning: not well"]


def test_while_nobody_answers_a_storm_is_one_digest_however_long_it_lasts(bench: Bench) -> None:
    """What waits stays small: the digest takes in what comes for as long as nobody has tried it."""
    bench.ops.script.append(NotifierUnavailable("away", retry_after_s=600))
    bench.open("x/0", "first")
    bench.run(1)
    for minute in range(9):
        for number in range(30):
            bench.open(f"x/{minute}-{number}", "more")
        bench.run(60)
    waiting = [one for one in bench.store.messages.deliveries(EVERYONE) if one.state is DeliveryState.PENDING]
    assert len(waiting) == 2
    bench.run(120)
    assert bench.ops.titles[1:] == ["warning: first", "warning: 270 changes of findings (270 opened)"]
