"""What goes wrong inside real appliances is found and put right, by ``config/local.toml`` as it stands: rules on what
agents say, actions that agents perform, and a story that tells it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import eicar
import pytest
from local_estate import Local
from served import until

from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.grants import fingerprint
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.guest_words import KEY

REASON = ("--reason", "test")
SLOW = """[templates.shop.jobs.slow]
argv = ["/bin/sh", "-c", "echo once >> {root}/var/slow; sleep 3; echo said"]

[templates.shop.jobs.tidy]"""

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None,
    reason="NO DPKG: nothing here shows that an outdated package is brought up to date",
)


class Shop(Local):
    """Two shops with agents inside, and the monitor that they report to."""

    service: subprocess.Popen[bytes]

    def told(self, ordinal: int, *sections: str) -> dict[str, dict[str, object]]:
        """What an appliance said of itself last, by item."""
        with self.store() as store:
            (member,) = (one for one in self.members("shop") if one.ordinal == ordinal)
            state = store.reports.state(EVERYONE, member.id)
        found = state.sections if state is not None else {}
        return {item: dict(facts) for section in sections for item, facts in found.get(section, {}).items()}

    def intents(self, verb: Verb, ordinal: int) -> list[Intent]:
        with self.store() as store:
            aset = store.sets.named(EVERYONE, "shop")
            found = store.intents.of(EVERYONE, aset.uid, ordinal) if aset is not None else []
        return sorted((one for one in found if one.verb is verb), key=lambda one: one.created_at)

    def done(self, verb: Verb, ordinal: int) -> int:
        """How often it was done to an appliance."""
        return sum(one.state is IntentState.DONE for one in self.intents(verb, ordinal))

    def well(self) -> bool:
        """Whether both agents say that their shop is up, and nothing is found wrong."""
        up = [self.told(ordinal, "applications").get("shop", {}).get("state") == "up" for ordinal in (1, 2)]
        return all(up) and not self.found()

    def found(self) -> list[str]:
        """What is wrong now."""
        with self.store() as store:
            return [finding.message for finding in store.findings.open(EVERYONE)]

    def begun(self, ordinal: int) -> bool:
        """Whether its agent is done with what belongs to a boot: it starts nothing by itself any more."""
        return (self.root("shop", ordinal) / "var/lib/cloudmon-agent/started.json").exists()

    def fell(self, ordinal: int) -> None:
        """Its web server is killed."""
        os.kill(int(str(self.told(ordinal, "applications")["shop"]["pid"])), signal.SIGKILL)

    def peers(self, ordinal: int) -> dict[str, int]:
        """The incarnations of its peers, as an appliance knows them."""
        file = self.root("shop", ordinal) / "var/lib/cloudmon/peers.json"
        told = json.loads(file.read_text()) if file.exists() else {"members": {}}
        return {name: one["incarnation"] for name, one in told["members"].items()}

    def peered(self) -> dict[str, int]:
        """The same, as the monitor shows them."""
        rows = json.loads(self.cli("peers", "shop", "-o", "json").stdout)
        return {row["name"]: row["incarnation"] for row in rows}

    def story(self, ordinal: int) -> list[str]:
        return [line.strip() for line in self.cli("why", f"shop/{ordinal}").stdout.splitlines()]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    # The agents' own looks for malware are an hour apart: it is found when somebody asks, and not meanwhile.
    quick = {
        "report_interval_s = 5": "report_interval_s = 1", "[templates.shop.jobs.tidy]": SLOW,
        "interval_s = 10\n\n[clouds": "interval_s = 3_600\n\n[clouds",
    }  # fmt: skip
    estate = Shop(tmp_path_factory.mktemp("inside"), "shop", edit=quick)
    estate.service = estate.start()
    try:
        until(lambda: estate.runs("shop", 2), "both run")
        until(lambda: estate.begun(1) and estate.begun(2), "both agents are there")
        yield estate
    finally:
        estate.service.kill()
        estate.service.wait()
        estate.end()


@pytest.fixture
def shop(estate: Shop) -> Shop:
    until(estate.well, "both shops are well")
    return estate


def tells(story: list[str], *parts: str) -> None:
    """Lines of the story hold these, one after the other, the last of the first one's first."""
    at = max((number for number, line in enumerate(story) if parts[0] in line), default=len(story))
    for part in parts[1:]:
        at = next((number for number, line in enumerate(story) if number > at and part in line), len(story))
        assert at < len(story), "\n".join([f"the story does not tell in this order: {part}", *story])


def test_a_web_server_that_fell_is_started_again_and_the_story_tells_it(shop: Shop) -> None:
    before = shop.done(Verb.APP_RESTART, 1)
    shop.fell(1)
    until(lambda: shop.done(Verb.APP_RESTART, 1) > before and shop.page(1) == "shop/1\n", "it serves again")
    until(shop.well, "nothing is wrong any more")
    opened = (
        'finding opened: shop/1: shop is down (applications["shop"].state = down), says built-in/application-down/shop'
    )
    story = shop.story(1)
    tells(story, opened, "app_restart (disruptive)", "app_restart accepted by its agent", "app_restart done")
    tells(story, opened, "app_restart accepted", "finding ended: the condition does not hold any more")
    (restart,) = shop.intents(Verb.APP_RESTART, 1)[before:]
    assert restart.reason == "built-in/application-down/shop: shop is down; rung 1, app_restart"


def test_a_disk_that_fills_is_tidied(shop: Shop) -> None:
    junk = shop.root("shop", 2) / "var/cache/shop/junk"
    junk.write_bytes(b"\0" * (60 << 20))
    until(lambda: not junk.exists(), "it is tidied")
    until(shop.well, "nothing is wrong any more")
    job = shop.intents(Verb.JOB_RUN, 2)[-1]
    assert (job.state, job.arguments, job.result["exit"]) == (IntentState.DONE, {"job": "tidy"}, 0)


@needs_dpkg
def test_an_old_package_is_brought_up_to_date(shop: Shop) -> None:
    root = shop.root("shop", 1)
    words = ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path", "--log=/dev/null", "--force-downgrade"]
    old = root / "var/cache/apt/archives/shop_1.0_all.deb"
    subprocess.run([*words, "-i", str(old)], check=True, capture_output=True)
    version = root / "usr/share/shop/version"
    assert version.read_text() == "1.0\n"
    until(lambda: version.read_text() == "2.0\n", "it is the wanted version again")
    until(lambda: shop.told(1, "packages")["shop"]["version"] == "2.0", "its agent says so")
    until(shop.well, "nothing is wrong any more")
    assert shop.intents(Verb.APP_UPDATE, 1)[-1].state is IntentState.DONE


def test_what_is_paused_is_only_shown_and_plan_says_why(shop: Shop) -> None:
    before = shop.done(Verb.APP_RESTART, 2)
    shop.cli("sets", "pause", "shop/2", "--for", "1h", *REASON)
    try:
        shop.fell(2)
        until(lambda: "shop/2: shop is down" in shop.found(), "it is found")
        assert "shop/2: shop is down; held by pause" in shop.cli("plan").stderr
        tested = shop.cli("policy", "test", "shop/2", code=2).stdout
        assert any("application-down" in line and "app_restart" in line for line in tested.splitlines())
        assert shop.done(Verb.APP_RESTART, 2) == before
    finally:
        shop.cli("sets", "release", "shop/2", "pause", *REASON)
    until(lambda: shop.done(Verb.APP_RESTART, 2) > before, "it is started")


def test_what_is_suspended_by_an_order_is_stopped_and_not_restarted_until_it_is_resumed(shop: Shop) -> None:
    before = (len(shop.intents(Verb.APP_RESTART, 1)), shop.done(Verb.APP_RESTART, 2))
    shop.cli("act", "shop/1", "app_suspend", "application=shop", *REASON)
    try:
        until(lambda: shop.told(1, "applications")["shop"]["state"] == "stopped", "it is told as stopped")
        # The other, which falls later, is put right: the rules have been gone through since.
        shop.fell(2)
        until(lambda: shop.done(Verb.APP_RESTART, 2) > before[1], "the other is started again")
        assert shop.told(1, "applications")["shop"]["state"] == "stopped"
        assert not [message for message in shop.found() if "shop/1" in message]
    finally:
        shop.cli("act", "shop/1", "app_resume", "application=shop", *REASON)
    until(shop.well, "it goes on")
    assert len(shop.intents(Verb.APP_RESTART, 1)) == before[0]


def test_people_ask_agents_too(shop: Shop) -> None:
    ran = shop.cli("act", "shop/*", "app_restart", "application=shop", *REASON)
    assert "2 appliances" in ran.stdout
    refused = shop.cli("act", "shop/1", "job_run", "job=nonsense", *REASON, code=1)
    assert "nonsense" in refused.stderr


def test_a_monitor_killed_while_a_command_runs_hears_of_it_once(shop: Shop) -> None:
    """Law 5: the intent was there before, is not performed again, and comes to its end."""
    done = shop.root("shop", 1) / "var/slow"
    done.unlink(missing_ok=True)
    shop.cli("act", "shop/1", "job_run", "job=slow", "--no-wait", *REASON)
    until(done.exists, "the job runs")
    shop.service.kill()
    shop.service.wait()
    shop.service = shop.start()

    def job() -> Intent:
        (found,) = (one for one in shop.intents(Verb.JOB_RUN, 1) if one.arguments == {"job": "slow"})
        return found

    until(lambda: job().state is IntentState.DONE, "its successor hears how it ended")
    assert (job().result["exit"], job().result["output"]) == (0, "said\n")
    tells(shop.story(1), "job_run done: said")
    (row,) = (r for r in json.loads(shop.cli("actions", "shop/1", "-o", "json").stdout) if r["id"] == job().id)
    assert (row["arguments"], row["result"]["exit"], row["result"]["output"]) == ({"job": "slow"}, 0, "said\n")
    assert done.read_text() == "once\n"


def test_an_account_is_on_all_members_whatever_becomes_of_them_until_it_is_revoked(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(f"{KEY}\n")
    grant = ("shop", "ada", "--key-file", str(file), "--rights", "sudo", "--until", "30d", *REASON)
    assert "ada is granted an account on all of shop until" in shop.cli("accounts", "grant", *grant).stdout

    def right(ordinal: int) -> bool:
        told = shop.told(ordinal, "accounts").get("ada", {})
        return (told.get("groups"), told.get("keys")) == (["sudo"], [fingerprint(KEY)])

    until(lambda: right(1) and right(2), "it is on both")
    keys = shop.root("shop", 1) / "home/ada/.ssh/authorized_keys"
    assert KEY in keys.read_text()
    keys.write_text(f"{keys.read_text()}{KEY.replace('ICRJ', 'ICRK')}\n")
    until(lambda: keys.read_text().count("ssh-ed25519") == 1, "a key more is taken out again")
    before = shop.node("shop", 2)
    shop.cli("act", "shop/2", "replace", *REASON)
    until(lambda: shop.runs("shop", 2) and shop.node("shop", 2) != before and right(2), "it is on the new machine")
    until(shop.well, "nothing is wrong any more")
    assert "2 of 2" in shop.cli("accounts", "list", "shop").stdout
    until(lambda: shop.peers(1) == shop.peers(2) == shop.peered(), "both know of the new machine")

    assert "ada is granted on shop" in shop.cli(
        "act", "shop/1", "account_revoke", "user=ada", *REASON, code=1
    ).stderr  # fmt: skip
    shop.cli("accounts", "revoke", "shop", "ada", *REASON)
    until(lambda: not any("ada" in shop.told(ordinal, "accounts") for ordinal in (1, 2)), "it is gone from both")
    assert not (shop.root("shop", 1) / "home/ada").exists()
    tells(shop.story(1), "the account ada is granted no more", "account_revoke done")


def test_a_planted_file_is_found_put_away_and_looked_for_in_the_others(shop: Shop) -> None:
    """Evidence is kept, what runs it is ended, and the finding ends with it."""
    planted = shop.root("shop", 1) / "srv/shop/eicar.com"
    planted.write_bytes(eicar.content())
    said = shop.cli("act", "shop/1", "scan", *REASON).stdout
    assert ("1 bad" in said, said.count("shop/1: ") > 1, "srv/shop/eicar.com" in said) == (True, True, True), said
    until(lambda: not planted.exists(), "it is put away")
    until(lambda: shop.done(Verb.SCAN, 2) > 0, "the other one looks for it")
    until(shop.well, "nothing is wrong any more")
    (away,) = shop.intents(Verb.QUARANTINE, 1)
    told = json.loads(str(away.result["output"]))
    assert (away.state, told["sha256"], told["signature"]) == (IntentState.DONE, eicar.sha256(), "Eicar.Test")
    kept = Path(told["kept"])
    assert (kept.stat().st_mode & 0o777, kept.stat().st_size) == (0, len(eicar.content()))
    (search,) = shop.intents(Verb.SCAN, 2)
    assert search.arguments == {"signature": "Eicar.Test"}
    assert "0 bad" in str(search.result["output"])
    assert search.reason.startswith("Eicar.Test was found in shop/1 (/srv/shop/eicar.com)")
    opened = "finding opened: shop/1: malware in /srv/shop/eicar.com"
    tells(shop.story(1), opened, "quarantine (disruptive)", "quarantine done")
    tells(shop.story(1), opened, "finding ended")


def test_a_stray_account_is_found_and_taken_away(shop: Shop) -> None:
    passwd = shop.root("shop", 1) / "etc/passwd"
    passwd.write_text(f"{passwd.read_text()}eve:x:1666:1666::/home/eve:/bin/sh\n")
    until(lambda: "eve" not in passwd.read_text(), "it is taken away")
    until(shop.well, "nothing is wrong any more")
    assert shop.intents(Verb.ACCOUNT_REVOKE, 1)[-1].arguments == {"user": "eve"}
