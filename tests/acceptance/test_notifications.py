"""Somebody is told: by a real service, over a web server and a mail server that are unkind, across a kill -9."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import receivers
from receivers import SILENT, Web
from served import Estate, terminated, until

NOTIFY = """
[notify.ops]
kind = "webhook"
timeout_s = 0.5
options = {{ url = "{url}", secret_file = "hook.key" }}
[notify.people]
kind = "email"
severity = "critical"
options = {{ host = "127.0.0.1", port = {port}, security = "none", from = "cm@example.net", to = ["ops@example.net"] }}
"""


def told(web: Web) -> list[dict[str, Any]]:
    """Each change that came, once: what came again has the id that it had."""
    return [json.loads(body) for body in {post.headers["webhook-id"]: post.body for post in list(web.posts)}.values()]


def test_a_change_is_told_once_it_is_taken_whatever_happens_in_between(tmp_path: Path) -> None:
    """A cloud goes away and comes back. The web server takes the news and says nothing, and the monitor is killed; the
    mail server asks to come again. A successor tells both, the same news with the same id, and the end after it."""
    estate = Estate(tmp_path)
    (tmp_path / "hook.key").write_text("correct-horse-battery")
    with receivers.web(SILENT) as web, receivers.post_office() as office:
        office.data.append("451 4.7.1 greylisted")
        notify = NOTIFY.format(url=web.url, port=office.port)
        # Patient with calls: on a busy machine the cloud would be away more than once.
        estate.settings(estate.cloud(), estate.set("shop", 1), notify, call_timeout_s=10)
        with estate.running() as process:
            until(lambda: estate.runs("shop", 1), "the shop runs")
            estate.world().set_outage(True)
            web.until(1)
            office.until(1)
            until(lambda: any(one["failing"] for one in estate.asked()[1]["notifiers"]), "health shows who fails")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        with estate.running() as process:
            first, again = web.until(2)[:2]
            assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
            estate.world().set_outage(False)
            until(lambda: len(told(web)) == 2, "the web server hears of the end")
            mails = office.until(3)
            assert "ops took it" in estate.cli("notify", "test", "ops").stdout
            assert terminated(process)[0] == 0
        kinds = [(one["type"], one["data"].get("kind"), one["data"]["severity"]) for one in told(web)]
        assert kinds == [
            ("finding.opened", "unreachable", "critical"),
            ("finding.ended", "unreachable", "critical"),
            ("test", None, "info"),
        ]
        assert [mail["Message-ID"] for mail in mails[:2]] == [mails[0]["Message-ID"]] * 2
        assert [mail["References"] for mail in mails] == [mails[0]["References"]] * 3
        assert mails[2]["Subject"].startswith("[cloudmon] ended: ")
        log = json.loads(estate.cli("notifications", "-o", "json").stdout)
    assert {row["state"] for row in log} == {"sent"}
    assert sorted((row["notifier"], row["event"]) for row in log) == [
        ("ops", "ended"), ("ops", "opened"), ("ops", "test"), ("people", "ended"), ("people", "opened"),
    ]  # fmt: skip
    assert "correct-horse" not in estate.log.read_text()
    assert "/hook" not in estate.log.read_text()
