"""What a store must keep, whatever database is under it.

A database's test subclasses :class:`StoreConformance` and gives one fixture::

    class TestSqlite(StoreConformance):
        @pytest.fixture
        def url(self, tmp_path):
            return f"sqlite:///{tmp_path}/store.db"    # of an empty database, for each test anew
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from cloudmon.store import Store, open_store
from cloudmon.testing.agent_laws import AgentLaws
from cloudmon.testing.grant_laws import GrantLaws
from cloudmon.testing.ledger_laws import LedgerLaws
from cloudmon.testing.log_laws import LogLaws
from cloudmon.testing.message_laws import MessageLaws
from cloudmon.testing.report_laws import ReportLaws
from cloudmon.testing.rule_laws import RuleLaws
from cloudmon.testing.set_laws import SetLaws
from cloudmon.testing.store_words import START
from cloudmon.testing.tenancy_laws import TenancyLaws
from cloudmon.testing.usage_laws import UsageLaws

LOG_KEY = b"a key of thirty-two bytes for us"


class StoreConformance(
    LedgerLaws, SetLaws, UsageLaws, LogLaws, AgentLaws, ReportLaws, RuleLaws, GrantLaws, MessageLaws, TenancyLaws
):
    """The suite; the laws are in the classes above."""

    survives_closing: ClassVar[bool] = True
    """Whether what was written is there when the store is opened again."""

    @pytest.fixture
    def url(self) -> str:
        """URL of an empty database."""
        raise NotImplementedError("a conformance test gives a URL")

    @pytest.fixture(autouse=True)
    def _under_test(self, url: str, tmp_path: Path) -> Iterator[None]:
        opened: list[Store] = []

        def reopen(now: dt.datetime = START) -> Store:
            if opened and not self.survives_closing:
                return opened[0]
            opened.append(
                open_store(url, log_key=LOG_KEY, anchor_dir=tmp_path / "anchors", now=now, paused=lambda _: None)
            )
            return opened[-1]

        self._reopen: Callable[[], Store] = reopen
        self._store = reopen()
        self._owner = self._store.monitors.begin(host="here", pid=1, now=START)
        yield
        for store in opened:
            store.close()
