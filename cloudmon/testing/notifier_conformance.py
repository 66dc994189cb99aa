"""What a notifier must keep, whatever it speaks.

A notifier's test subclasses :class:`NotifierConformance` and gives three notifiers and a look at what arrived::

    class TestPigeon(NotifierConformance):
        @pytest.fixture
        def notifier(self): ...            # the other side takes all
        @pytest.fixture
        def taken(self): ...               # a function: what the other side was handed by it, oldest first, as bytes
        @pytest.fixture
        def unavailable(self): ...         # the other side does not answer
        @pytest.fixture
        def refusing(self): ...            # the other side answers, and refuses every notice
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.notifier import Notice, Notifier, Reachable

NOTICE = Notice(
    id="notice-1",
    at=dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC),
    type="finding.opened",
    severity="critical",
    title="critical: storefront/3: web is down",
    data={"kind": "detected", "appliance": "storefront/3", "evidence": {"facts": {"state": "down"}}, "ended_at": None},
    thread="thread-1",
)
Taken = Callable[[], Sequence[bytes]]


class NotifierConformance:
    """The suite."""

    @pytest.fixture
    def notifier(self) -> Any:
        """A notifier whose other side takes all."""
        raise NotImplementedError("a conformance test gives a notifier")

    @pytest.fixture
    def taken(self) -> Any:
        """A function that gives what the other side was handed."""
        raise NotImplementedError("a conformance test looks at what arrived")

    @pytest.fixture
    def unavailable(self) -> Any:
        """A notifier whose other side does not answer."""
        raise NotImplementedError("a conformance test gives a notifier that nobody answers")

    @pytest.fixture
    def refusing(self) -> Any:
        """A notifier whose other side refuses every notice."""
        raise NotImplementedError("a conformance test gives a notifier that is refused")

    def test_it_is_a_notifier_with_a_name(self, notifier: Notifier) -> None:
        assert isinstance(notifier, Notifier)
        assert notifier.name

    def test_a_notice_is_handed_over_once_and_the_remark_is_one_line(self, notifier: Notifier, taken: Taken) -> None:
        remark = notifier.send(NOTICE)
        assert remark == remark.strip()
        assert remark.isprintable()
        (told,) = taken()
        assert b"storefront/3" in told

    def test_the_same_notice_again_is_the_same_to_its_last_byte(self, notifier: Notifier, taken: Taken) -> None:
        notifier.send(NOTICE)
        notifier.send(replace(NOTICE, data=dict(NOTICE.data)))
        first, second = taken()
        assert first == second

    def test_another_notice_can_be_told_from_it(self, notifier: Notifier, taken: Taken) -> None:
        notifier.send(NOTICE)
        notifier.send(replace(NOTICE, type="finding.ended", title="ended: storefront/3: web is down"))
        first, second = taken()
        assert first != second

    @pytest.mark.parametrize(
        "title",
        ["two\r\nlines: and a header", "\x1b[2J", "größer als 自動", "x" * 10_000, ""],
        ids=["line ends", "a terminal's", "other letters", "long", "nothing"],
    )
    def test_whatever_stands_in_a_notice_is_handed_over(self, notifier: Notifier, taken: Taken, title: str) -> None:
        notifier.send(replace(NOTICE, title=title, data={"message": title, "n": [1, None, {"a": title}]}))
        assert len(taken()) == 1

    def test_who_does_not_answer_is_unavailable(self, unavailable: Notifier) -> None:
        with pytest.raises(NotifierUnavailable) as raised:
            unavailable.send(NOTICE)
        assert raised.value.notifier == unavailable.name
        assert raised.value.message

    def test_who_answers_no_has_refused_it(self, refusing: Notifier) -> None:
        with pytest.raises(NoticeRefused) as raised:
            refusing.send(NOTICE)
        assert raised.value.notifier == refusing.name
        assert raised.value.message

    def test_it_can_be_reached_without_anything_being_told(self, notifier: Notifier, taken: Taken) -> None:
        if not isinstance(notifier, Reachable):
            pytest.skip("it says that it cannot")
        assert notifier.reach()
        assert list(taken()) == []

    def test_who_does_not_answer_is_not_reached_either(self, unavailable: Notifier) -> None:
        if not isinstance(unavailable, Reachable):
            pytest.skip("it says that it cannot")
        with pytest.raises(NotifierUnavailable):
            unavailable.reach()
