"""Telling from the command line: test messages that really arrive, and the log of what was told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import receivers
from receivers import Web

from cloudmon.model.messages import DeliveryState
from cloudmon.notices import trying
from cloudmon.store import Ownership, Store
from cloudmon.testing.store_words import StoreWords


@pytest.fixture
def web(cli: Any) -> Iterator[Web]:
    """A web server that the notifier ``ops`` of the settings posts to."""
    with receivers.web() as found:
        text = (
            f'[notify.ops]\nkind = "webhook"\noptions = {{ url = "{found.url}", secret = "correct-horse-battery" }}\n'
        )
        cli.config.write_text(cli.config.read_text(encoding="utf-8") + text, encoding="utf-8")
        yield found


def test_a_test_message_arrives_and_the_command_says_so(cli: Any, web: Web) -> None:
    """Where no monitor runs the command sends it itself."""
    assert cli("notify", "test", "ops").stdout == "ops took it\n"
    (post,) = web.posts
    assert json.loads(post.body)["type"] == "test"
    assert post.headers["webhook-signature"].startswith("v1,")
    (row,) = [row for row in cli.json("notifications") if row["event"] == "test"]
    assert (row["notifier"], row["state"], row["attempts"], row["next_at"]) == ("ops", "sent", 1, None)
    assert row["id"] == post.headers["webhook-id"]


def test_one_that_does_not_arrive_is_an_error_with_the_reason(cli: Any, web: Web) -> None:
    """Tried once, and the log keeps it."""
    web.script.append(403)
    assert "127.0.0.1 refuses it: 403 Forbidden" in cli("notify", "test", "ops", code=1).stderr
    (row,) = cli.json("notifications", "--state", "dead")
    assert "403" in row["error"]
    assert cli.json("notifications", "--state", "sent") == []


def test_an_unknown_notifier_is_answered_with_the_nearest(cli: Any, web: Web) -> None:
    """Before anything is asked of anybody."""
    assert 'no notifier named opz; did you mean "ops"?' in cli("notify", "test", "opz", code=1).stderr


def test_who_is_told_of_what_is_listed(cli: Any, web: Web, store: Store, owner: Ownership) -> None:
    """With how much waits."""
    store.messages.route(owner, [StoreWords().delivery("d-1")])
    (row,) = cli.json("notify", "list")
    assert row == {
        "name": "ops", "kind": "webhook", "severity": "warning", "findings": [], "sets": ["*"], "tenants": ["*"],
        "pending": 1,
    }  # fmt: skip
    assert "all" in cli("notify", "list").stdout


def test_the_log_is_newest_first_and_narrowed(cli: Any, web: Web, store: Store, owner: Ownership) -> None:
    """By notifier, state, tenant, number."""
    words = StoreWords()
    first, second = words.delivery("d-1"), words.delivery("d-2", notifier="boss", tenant="acme")
    store.messages.route(owner, [first, second])
    store.messages.settle(owner, [trying.sent(first, "", first.created_at)])
    ids = [[row["id"] for row in cli.json("notifications", *more)] for more in (
        (), ("-n", "boss"), ("--state", DeliveryState.SENT), ("--tenant", "acme"), ("--limit", "1"), ("--since", "1h"),
    )]  # fmt: skip
    assert ids == [["d-2", "d-1"], ["d-2"], ["d-1"], ["d-2"], ["d-2"], []]
    assert cli("notifications", "-o", "csv").stdout.startswith("created_at,notifier,state,")


def test_nobody_is_told_where_nobody_is_configured(cli: Any, store: Store) -> None:
    """Both lists say so."""
    assert "[notify.<name>]" in cli("notify", "list").stderr
    assert "nothing was told" in cli("notifications").stderr
