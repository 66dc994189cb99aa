"""Laws of telling: a message belongs to the change that it is about, and a delivery to its first bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloudmon.errors import Fenced
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, Expect, FindingEnd, Telling
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.messages import DeliveryEvent, DeliveryState, Message, MessageEvent
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.crashes import crashing
from cloudmon.testing.store_words import START, StoreWords, later

END = FindingEnd(FindingKind.FAULT, "x/1")
CALL = Telling(FindingKind.FAULT, "x/1", "ops")


class MessageLaws(StoreWords):
    """Promises of ``messages`` and of ``Change.tells``."""

    def told(self) -> list[tuple[MessageEvent, str]]:
        """What waits to be routed, in short."""
        return [(one.event, one.message) for one in self.waiting()]

    def waiting(self) -> list[Message]:
        return self._store.messages.waiting(EVERYONE, 1_000)

    def write_telling(self, *changes: Change, **other: Any) -> list[bool]:
        """Write as a monitor that has somebody to tell."""
        self._store.messages.keep(True)
        return self.write(*changes, **other)

    # --- messages -------------------------------------------------------------------------------------------------

    def test_a_finding_that_opens_worsens_and_ends_is_told_of_three_times(self) -> None:
        finding = self.finding()
        self.write_telling(Change("default", findings=(finding,)))
        again = replace(finding, opened_at=later(1), evidence={"n": 2})
        self.write_telling(Change("default", findings=(again,)), at=later(1))
        worse = replace(again, severity="critical", message="on fire")
        self.write_telling(Change("default", findings=(worse, worse)), at=later(2))
        milder = replace(worse, severity="info", message="smokes")
        self.write_telling(Change("default", findings=(milder,)), at=later(3))
        self.write_telling(Change("default", findings=(END, END)), at=later(4))
        self.write_telling(Change("default", findings=(END,)), at=later(5))
        found = self.waiting()
        assert [(one.event, one.severity, one.message, one.at) for one in found] == [
            (MessageEvent.OPENED, "warning", "not well", START),
            (MessageEvent.WORSE, "critical", "on fire", later(2)),
            (MessageEvent.ENDED, "info", "smokes", later(4)),
        ]
        assert {one.opened_at for one in found} == {START}
        assert [one.id for one in found] == sorted(one.id for one in found)

    def test_an_end_and_an_opening_in_one_change_are_both_told_of_in_order(self) -> None:
        finding = self.finding()
        self.write_telling(Change("default", findings=(finding,)))
        self.write_telling(Change("default", findings=(END, replace(finding, message="again"))))
        assert self.told()[1:] == [(MessageEvent.ENDED, "not well"), (MessageEvent.OPENED, "again")]

    def test_each_warning_of_a_lease_is_told_of(self) -> None:
        lease = self.finding(kind=FindingKind.LEASE, message="three days left")
        self.write_telling(Change("default", findings=(lease,)))
        self.write_telling(Change("default", findings=(lease,)))
        self.write_telling(Change("default", findings=(replace(lease, message="one day left"),)))
        assert self.told() == [(MessageEvent.OPENED, "three days left"), (MessageEvent.WORSE, "one day left")]

    def test_a_message_says_the_name_of_the_set_that_it_is_about(self) -> None:
        aset = self.put("storefront")
        subjects = (f"{aset.uid}/1", f"{aset.uid}/1:shop/busy/a:b", aset.uid, "node:east:n", "store")
        self.write_telling(*(Change("default", findings=(self.finding(subject=one),)) for one in subjects))
        assert [one.set_name for one in self.waiting()] == ["storefront"] * 3 + ["", ""]

    def test_where_nobody_is_to_be_told_nothing_is_kept(self) -> None:
        self.write(Change("default", findings=(self.finding(),)))
        self.write(Change("default", findings=(END,), tells=(CALL,)))
        assert self.waiting() == []

    def test_a_change_that_does_not_hold_tells_nobody(self) -> None:
        member = self.member(self.put())
        late = Expect(ApplianceState.RETIRED, 7)
        assert self.write_telling(Change("default", member.id, expect=late, findings=(self.finding(),))) == [False]
        assert self.waiting() == []

    def test_another_tenant_s_finding_is_neither_told_of_nor_ended(self) -> None:
        finding = self.finding("acme")
        self.write_telling(Change("acme", findings=(finding,)))
        self.write_telling(
            Change("rival", findings=(replace(finding, tenant="rival", severity="critical"),)),
            Change("rival", findings=(END,), tells=(CALL,)),
        )
        assert [(one.tenant, one.event) for one in self.waiting()] == [("acme", MessageEvent.OPENED)]
        assert self._store.findings.open(EVERYONE) == [finding]

    @pytest.mark.parametrize("point", ["store.before-commit", "store.after-commit"])
    def test_a_crash_neither_loses_nor_doubles_a_message(self, point: str) -> None:
        change = Change("default", findings=(self.finding(),))

        with crashing(point):
            self.write_telling(change)
        written = point == "store.after-commit"
        assert bool(self.waiting()) == bool(self._store.findings.open(EVERYONE)) == written
        self.write_telling(change)
        assert self.told() == [(MessageEvent.OPENED, "not well")]

    def test_findings_by_the_hundred_are_as_many_messages(self) -> None:
        # More than are looked up in one statement.
        subjects = [f"x/{number}" for number in range(100, 701)]
        opened: list[Finding] = [self.finding(subject=one) for one in subjects]
        self.write_telling(*(Change("default", findings=(one,)) for one in opened))
        self.write_telling(*(Change("default", findings=(replace(one, severity="critical"),)) for one in opened))
        self.write_telling(*(Change("default", findings=(FindingEnd(one.kind, one.subject),)) for one in opened))
        found = self._store.messages.waiting(EVERYONE, 9_999)
        for event in (MessageEvent.OPENED, MessageEvent.WORSE, MessageEvent.ENDED):
            assert [one.subject for one in found if one.event is event] == subjects

    def test_whoever_a_rule_told_is_named_when_it_ends(self) -> None:
        self.write_telling(Change("default", tells=(CALL,)))
        assert self.waiting() == [], "of what is not open nobody is told"
        self.write_telling(Change("default", findings=(self.finding(),), tells=(CALL, replace(CALL, to="boss"))))
        self.write_telling(Change("default", findings=(replace(self.finding(), message="still"),), tells=(CALL,)))
        self.write_telling(Change("default", findings=(END,)))
        self.write_telling(Change("default", findings=(self.finding(), END)))
        assert [(one.event, one.told) for one in self.waiting()] == [
            (MessageEvent.OPENED, ()),
            (MessageEvent.CALLED, ("ops",)),
            (MessageEvent.CALLED, ("boss",)),
            (MessageEvent.CALLED, ("ops",)),
            (MessageEvent.ENDED, ("boss", "ops")),
            (MessageEvent.OPENED, ()),
            (MessageEvent.ENDED, ()),
        ]

    def test_somebody_is_stirred_once_a_commit_that_has_messages(self) -> None:
        stirred: list[int] = []
        self._store.messages.keep(True, lambda: stirred.append(len(self.waiting())))
        self.write(Change("default", findings=(self.finding(), self.finding(subject="x/2"))))
        self.write(Change("default", findings=(self.finding(),)))
        assert stirred == [2]

    # --- routing --------------------------------------------------------------------------------------------------

    def test_messages_are_taken_in_the_write_that_makes_their_deliveries(self) -> None:
        self.write_telling(Change("default", findings=(self.finding(), self.finding(subject="x/2"))))
        first, second = self.waiting()
        one = self.delivery("d-1", body={"a": [1, {"b": "ü"}]})
        assert self._store.messages.route(self._owner, [one], taken=[first.id])
        assert self.waiting() == [second]
        assert self._store.messages.route(self._owner, [one, self.delivery("d-2", notifier="boss")], taken=[second.id])
        assert self.waiting() == []
        found = self._store.messages.pending(EVERYONE, "ops", 9)
        assert [replace(found[0], seq=0)] == [one]
        assert self._store.messages.unfinished(EVERYONE) == {"ops": 1, "boss": 1}

    def test_a_digest_grows_until_it_is_tried(self) -> None:
        messages = self._store.messages
        digest = self.delivery("d-1", event=DeliveryEvent.DIGEST, due_at=later(30))
        messages.route(self._owner, [digest, self.delivery("d-0", due_at=later(30))])
        assert [one.id for one in messages.growing(EVERYONE)] == ["d-1"]
        assert messages.route(self._owner, [], grown=[replace(digest, title="two", body={"n": 2})])
        assert messages.claim(self._owner, ["d-1"]) == {"d-1"}
        self.write_telling(Change("default", findings=(self.finding(),)))
        (left,) = self.waiting()
        assert not messages.route(
            self._owner, [self.delivery("d-2")], taken=[left.id], grown=[replace(digest, body={"n": 3})]
        )
        assert self.waiting() == [left]
        assert messages.growing(EVERYONE) == []
        found = messages.delivery(EVERYONE, "d-1")
        assert found is not None
        assert (found.title, found.body, found.attempts) == ("two", {"n": 2}, 1)

    # --- delivering -----------------------------------------------------------------------------------------------

    def test_a_try_counts_before_its_end_is_known_and_its_end_is_written_once(self) -> None:
        messages = self._store.messages
        messages.route(self._owner, [self.delivery("d-1"), self.delivery("d-2")])
        assert messages.claim(self._owner, ["d-1", "d-3"]) == {"d-1"}
        (first, _) = messages.pending(EVERYONE, "ops", 9)
        messages.settle(self._owner, [replace(first, error="no answer", due_at=later(9))])
        again = messages.delivery(EVERYONE, "d-1")
        assert again is not None
        assert (again.attempts, again.error, again.due_at, again.state) == (
            1,
            "no answer",
            later(9),
            DeliveryState.PENDING,
        )
        sent = replace(again, state=DeliveryState.SENT, ended_at=later(10), error="")
        messages.settle(self._owner, [sent])
        messages.settle(self._owner, [replace(sent, state=DeliveryState.DEAD, error="late")])
        assert messages.claim(self._owner, ["d-1"]) == frozenset()
        assert messages.delivery(EVERYONE, "d-1") == sent
        assert [one.id for one in messages.pending(EVERYONE, "ops", 9)] == ["d-2"]

    def test_what_is_open_reads_as_if_it_opened_only_now(self) -> None:
        self.write_telling(Change("default", findings=(self.finding(), self.finding(subject="x/2"))))
        self.write_telling(Change("default", tells=(CALL,), findings=(FindingEnd(FindingKind.FAULT, "x/2"),)))
        (found,) = self._store.messages.open(EVERYONE)
        assert (found.event, found.subject, found.message) == (MessageEvent.OPENED, "x/1", "not well")
        assert (found.at, found.opened_at, found.told) == (START, START, ("ops",))

    def test_a_notifier_is_introduced_once_with_what_it_is_told(self) -> None:
        messages, first, other = self._store.messages, self.delivery("d-1"), self.delivery("d-2")
        assert messages.introduced() == frozenset()
        assert messages.introduce(self._owner, "ops", [first], now=START) is True
        assert messages.introduce(self._owner, "ops", [other], now=later(1)) is False
        assert messages.introduced() == {"ops"}
        assert [one.id for one in messages.deliveries(EVERYONE)] == ["d-1"]
        messages.dismiss(self._owner, ["ops", "nobody"])
        assert messages.introduced() == frozenset()
        assert messages.introduce(self._owner, "ops", [other], now=later(2)) is True

    def test_a_monitor_that_is_fenced_introduces_and_dismisses_nobody(self) -> None:
        messages = self._store.messages
        messages.introduce(self._owner, "ops", [], now=START)
        self._store.monitors.begin(host="there", pid=2, now=later(1))
        with pytest.raises(Fenced):
            messages.introduce(self._owner, "boss", [self.delivery("d-1")], now=later(2))
        with pytest.raises(Fenced):
            messages.dismiss(self._owner, ["ops"])
        assert messages.introduced() == {"ops"}
        assert messages.deliveries(EVERYONE) == []

    def test_a_monitor_that_is_fenced_begins_no_try(self) -> None:
        self._store.messages.route(self._owner, [self.delivery("d-1")])
        self._store.monitors.begin(host="there", pid=2, now=later(1))
        with pytest.raises(Fenced):
            self._store.messages.claim(self._owner, ["d-1"])
        (found,) = self._store.messages.pending(EVERYONE, "ops", 9)
        assert found.attempts == 0

    def test_the_log_is_narrowed_and_forgotten_by_age_where_it_has_ended(self) -> None:
        messages = self._store.messages
        messages.route(self._owner, [self.delivery(f"d-{n}", created_at=later(n)) for n in range(4)])
        ended = [self.delivery(f"d-{n}", state=DeliveryState.SENT, ended_at=later(10 + n)) for n in (0, 1)]
        messages.settle(self._owner, [*ended, self.delivery("d-2", state=DeliveryState.DEAD, ended_at=later(90))])
        log = messages.deliveries
        assert [one.id for one in log(EVERYONE, limit=3)] == ["d-3", "d-2", "d-1"]
        assert [one.id for one in log(EVERYONE, state=DeliveryState.SENT)] == ["d-1", "d-0"]
        assert [one.id for one in log(EVERYONE, since=later(2))] == ["d-3", "d-2"]
        assert log(EVERYONE, notifier="boss") == []
        assert messages.since(EVERYONE, later(2)) == {"ops": 2}
        assert messages.prune(self._owner, before=later(11)) == 1
        assert messages.prune(self._owner, before=later(11)) == 0
        assert [one.id for one in log(EVERYONE)] == ["d-3", "d-2", "d-1"]
