"""Laws of the action log, and of opening and closing a store."""

from __future__ import annotations

import pytest

from cloudmon.errors import StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.model.changes import Change
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.store_words import StoreWords, later


class LogLaws(StoreWords):
    """Promises of ``log``, ``lock`` and ``open_store``."""

    def _say(self, chain: str, *words: str, at: float = 0) -> None:
        entries = tuple(LogEntry(chain, later(at), word, "subject", {"word": word}) for word in words)
        self.write(Change("default", log=entries))

    def test_entries_of_a_chain_are_numbered_in_the_order_written(self) -> None:
        aset = self.put()
        self._say(aset.uid, "one", "two", at=5)
        self._say(aset.uid, "three", at=3)
        found = self._store.log.entries(EVERYONE, aset.uid)
        assert [(one.seq, one.kind) for one in found] == [(1, "set.generation"), (2, "one"), (3, "two"), (4, "three")]
        assert found[1].body == {"word": "one"}
        assert found[1].epoch == self._owner.epoch

    def test_entries_can_be_asked_for_by_time_and_number(self) -> None:
        for at in range(5):
            self._say("estate", f"at-{at}", at=at + 1)
        log = self._store.log
        assert [one.kind for one in log.entries(EVERYONE, None, later(2), later(4))] == ["at-1", "at-2"]
        assert [one.kind for one in log.entries(EVERYONE, "estate", limit=2)] == ["at-3", "at-4"]
        assert [one.kind for one in log.entries(EVERYONE, limit=1)] == ["at-4"]

    def test_a_log_that_nobody_touched_verifies(self) -> None:
        aset = self.put()
        for number in range(20):
            self._say(aset.uid, f"n-{number}")
            self._say("estate", f"e-{number}")
        assert self._store.log.verify(EVERYONE) == []

    def test_a_log_that_two_monitors_wrote_verifies(self) -> None:
        aset = self.put()
        self._owner = self._store.monitors.begin(host="there", pid=2, now=later(1))
        self._say(aset.uid, "mine")
        assert [one.epoch for one in self._store.log.entries(EVERYONE, aset.uid)] == [1, 2]
        assert self._store.log.verify(EVERYONE) == []

    def test_what_was_written_is_there_when_the_store_is_opened_again(self) -> None:
        self.put()
        before = self.everything()
        estate = self._store.estate
        self._store = self._reopen()
        assert self._store.estate == estate
        assert self.everything() == before
        assert self._store.log.verify(EVERYONE) == []

    def test_characters_that_a_database_cannot_hold_are_replaced_not_refused(self) -> None:
        odd = "nul \0 half \ud800 line\n"
        aset = self.put()
        self.write(
            Change("default", findings=(self.finding(subject="odd", message=odd, evidence={odd: odd}),)),
            Change("default", log=(LogEntry(aset.uid, later(0), "kind", odd, {"odd": odd}),)),
        )
        (finding,) = self._store.findings.open(EVERYONE)
        assert finding.message == "nul \ufffd half \ufffd\ufffd\ufffd line\n"
        assert self._store.log.entries(EVERYONE, aset.uid)[-1].subject == finding.message
        assert self._store.log.verify(EVERYONE) == []

    def test_a_value_that_is_no_json_is_refused_and_nothing_is_written(self) -> None:
        before = self.everything()
        with pytest.raises(StoreError):
            self.write(Change("default", log=(LogEntry("estate", later(0), "k", "s", {"x": float("nan")}),)))
        assert self.everything() == before

    def test_the_store_s_lock_is_held_until_it_is_given_back(self) -> None:
        with self._store.lock() as lock:
            assert lock.held()
        with self._store.lock() as lock:
            assert lock.held()
