"""The agent and a monitor that is as unkind as the real world."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from pathlib import Path

import pytest
from agents import Appliance
from stub_monitor import Authority, StubMonitor, hash_of


def of(monitor: StubMonitor, section: str) -> dict[str, dict[str, object]]:
    with monitor.lock:
        found: dict[str, dict[str, object]] = monitor.sections.get(section, {})
        return found


def test_it_enrols_says_all_first_and_then_what_changed(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.start()
    monitor.until(lambda: "interval" in [why for _, _, why in monitor.told()])
    appliance.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nmallory:x:0:0::/root:/bin/sh\n")
    monitor.until(lambda: "mallory" in of(monitor, "accounts"))
    (seq, kind, why), *others = monitor.told()
    assert (seq, kind, why) == (1, "full", "start")
    assert {kind for _, kind, _ in others} == {"diff"}
    assert [seq for seq, _, _ in others] == list(range(2, len(others) + 2))
    assert "web" not in of(monitor, "accounts")
    assert monitor.state == hash_of(monitor.sections)


def test_connections_are_kept(appliance: Appliance, monitor: StubMonitor) -> None:
    """One to ask for the authority, one to enrol, one for reports and one for the long poll."""
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 5)
    assert monitor.connections == 4


def test_a_change_is_told_long_before_the_interval_is_over(appliance: Appliance, monitor: StubMonitor) -> None:
    monitor.config = {**monitor.config, "interval_s": 3600, "files": ["/etc/motd"]}
    appliance.start()
    monitor.until(lambda: of(monitor, "files") == {"/etc/motd": {"missing": True}})
    appliance.write("etc/motd", "hello")
    monitor.until(lambda: "sha256" in of(monitor, "files")["/etc/motd"])
    assert monitor.told()[-1][2] == "change"


def test_a_restart_goes_on_with_the_stored_key_and_a_full_report(appliance: Appliance, monitor: StubMonitor) -> None:
    first = appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    first.terminate()
    assert first.wait(2) == 0
    taken = len(monitor.reports)
    appliance.start(enrol=False)
    monitor.until(lambda: len(monitor.reports) > taken)
    assert monitor.reports[taken]["kind"] == "full"
    assert [path for path, _ in monitor.heard].count("/channel/v1/enrol") == 1


def test_the_address_need_not_be_said_twice(appliance: Appliance, monitor: StubMonitor) -> None:
    assert appliance.run("--once").returncode == 0
    words = [word for word in appliance.command("--once") if word not in {"--url", monitor.url}]
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0
    assert len(monitor.reports) == 2


UNKIND = ["lose", "drop", "401", "500", "302", "503", "signed 503", "unsigned", "wrong nonce", "wrong secret"]


@pytest.mark.parametrize("trick", UNKIND)
def test_a_report_that_met_with_trouble_is_sent_again_and_taken_once(
    trick: str, appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.trick("/report", trick)
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    assert monitor.told()[0] == (1, "full", "start")
    assert monitor.told()[1][:2] == (2, "diff")


@pytest.mark.parametrize("trick", ["lose", "drop", "401", "unsigned", "wrong nonce", "503"])
def test_an_enrolment_whose_answer_got_lost_is_tried_again_by_the_same_agent(
    trick: str, appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.trick("/enrol", trick)
    appliance.start()
    monitor.until(lambda: monitor.reports)
    assert monitor.reports[0]["instance"] == monitor.instance


def test_a_report_that_the_monitor_can_make_nothing_of_is_followed_by_a_full_one(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.trick("/report", "signed 400")
    appliance.start()
    monitor.until(lambda: monitor.reports)
    assert monitor.reports[0]["kind"] == "full"
    assert monitor.reports[0]["seq"] > 1


@pytest.mark.parametrize("seconds", [-9, -4, 3, 30])
def test_a_clock_that_is_off_by_seconds_is_corrected_too(
    seconds: int, appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.ahead_s = seconds
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 3)
    assert abs(monitor.reports[-1]["at"] - monitor.now()) < 5
    assert abs(monitor.reports[-1]["offset_s"] + seconds) < 2


def test_a_clock_that_is_off_by_hours_is_corrected_by_signed_word_only(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.ahead_s = -7 * 3600
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    first = monitor.reports[0]
    assert abs(first["at"] - monitor.now()) < 60
    assert abs(first["offset_s"] - 7 * 3600) < 5
    monitor.command("soon", "report_now", expires_in_s=60)
    assert monitor.result("soon")["ok"] is True
    kept = json.loads((appliance.state / "clock.json").read_text())["ahead_s"]
    assert abs(kept - first["offset_s"]) < 5  # replies that take their time correct it again


def test_requests_are_dated_by_replies_and_facts_by_the_time_that_they_tell(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    """The clock of a monitor may be set back; the dates that it takes never go back."""
    monitor.lead_s = 3600
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    assert abs(monitor.reports[-1]["at"] - monitor.now()) < 5
    assert abs(monitor.reports[-1]["offset_s"]) < 2
    monitor.lead_s = 0.0
    told = len(monitor.reports)
    monitor.until(lambda: len(monitor.reports) > told)
    assert abs(monitor.reports[-1]["at"] - monitor.now()) < 5


def test_reports_of_an_outage_come_later_in_order_with_the_times_of_then(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 1)
    monitor.away = True
    reports = appliance.state / "reports"
    monitor.until(lambda: len(list(reports.glob("*.json"))) >= 4)
    monitor.away = False
    monitor.until(lambda: len(monitor.reports) >= 6, within_s=60)
    seqs = [seq for seq, _, _ in monitor.told()]
    times = [report["at"] for report in monitor.reports]
    assert seqs == list(range(1, len(seqs) + 1))
    assert times == sorted(times)
    assert times[4] - times[1] > 2
    assert monitor.state == hash_of(monitor.sections)


def test_a_kill_loses_nothing_that_was_buffered_and_no_number_is_used_twice(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    first = appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    monitor.away = True
    reports = appliance.state / "reports"
    monitor.until(lambda: len(list(reports.glob("*.json"))) >= 3)
    first.kill()
    first.wait()
    waiting = len(list(reports.glob("*.json")))
    before = len(monitor.reports)
    monitor.away = False
    appliance.start(enrol=False)
    monitor.until(lambda: len(monitor.reports) >= before + waiting + 2, within_s=60)
    told = monitor.told()
    boots = [report["boot"] for report in monitor.reports]
    assert [kind for _, kind, _ in told[before : before + waiting]] == ["diff"] * waiting
    assert told[before + waiting][1:] == ("full", "start")
    # Under a root a boot is a session: the second agent came with a new one and counts from 1.
    assert boots[before + waiting] != boots[before]
    assert told[before + waiting][0] == 1


def test_a_monitor_that_knows_nothing_any_more_gets_a_full_report(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    monitor.trick("/report", "want full")
    monitor.until(lambda: [kind for _, kind, _ in monitor.told()].count("full") == 2)
    monitor.until(lambda: monitor.told()[-1][1] == "diff")
    assert monitor.state == hash_of(monitor.sections)


def test_a_new_key_is_used_from_the_reply_that_brings_it_on(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.start()
    monitor.until(lambda: monitor.reports)
    before = json.loads((appliance.state / "key.json").read_text())["id"]
    monitor.new_key = True
    monitor.until(lambda: not monitor.new_key)
    with monitor.lock:
        del monitor.secrets[before]
    taken = len(monitor.reports)
    monitor.until(lambda: len(monitor.reports) >= taken + 2)
    assert json.loads((appliance.state / "key.json").read_text())["id"] != before


def test_the_older_key_is_used_again_when_the_newer_one_is_no_good(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.start()
    monitor.until(lambda: monitor.reports)
    before = json.loads((appliance.state / "key.json").read_text())["id"]
    with monitor.lock:
        monitor.no_new_keys = True
        monitor.new_key = True
    monitor.until(lambda: not monitor.new_key)
    taken = len(monitor.reports)
    monitor.until(lambda: len(monitor.reports) >= taken + 2)
    assert json.loads((appliance.state / "key.json").read_text())["id"] == before
    assert [path for path, _ in monitor.heard].count("/channel/v1/enrol") == 1


def test_one_whose_key_ran_out_enrols_again_with_its_old_token(appliance: Appliance, monitor: StubMonitor) -> None:
    first = appliance.start()
    monitor.until(lambda: monitor.reports)
    first.kill()
    first.wait()
    with monitor.lock:
        monitor.serial += 1
        for name in [name for name in monitor.secrets if name.startswith("k.")]:
            del monitor.secrets[name]
    taken = len(monitor.reports)
    appliance.start(enrol=False)
    monitor.until(lambda: len(monitor.reports) > taken)
    assert [path for path, _ in monitor.heard].count("/channel/v1/enrol") == 2


def test_who_runs_the_appliance_says_which_boot_it_is(appliance: Appliance, monitor: StubMonitor) -> None:
    boots = ("0b1d8f0e-0000-4000-8000-000000000001", "0b1d8f0e-0000-4000-8000-000000000002")
    for boot in (boots[0], boots[0], boots[1]):
        taken = len(monitor.reports)
        process = appliance.start(CLOUDMON_BOOT_ID=boot)
        monitor.until(lambda taken=taken: len(monitor.reports) > taken)  # type: ignore[misc]
        assert monitor.reports[taken]["sections"]["system"]["boot"]["id"] == boot
        process.terminate()
        process.wait(5)
    numbers = [(report["boot"], report["seq"]) for report in monitor.reports]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == (boots[0], 1)
    assert (boots[1], 1) in numbers


def test_a_new_config_is_in_force_at_once_and_after_a_restart(appliance: Appliance, monitor: StubMonitor) -> None:
    first = appliance.start()
    monitor.until(lambda: monitor.reports)
    with monitor.lock:
        monitor.config = {**monitor.config, "interval_s": 3600, "files": ["/etc/group"], "unheard": {"of": 1}}
    monitor.until(lambda: "/etc/group" in of(monitor, "files"))
    first.terminate()
    first.wait(5)
    taken = len(monitor.reports)
    appliance.start(enrol=False)
    monitor.until(lambda: len(monitor.reports) > taken)
    assert "/etc/group" in monitor.reports[taken]["sections"]["files"]
    assert monitor.sections["system"]["agent"]["interval_s"] == 3600


def test_it_ends_within_two_seconds_though_the_monitor_hangs(appliance: Appliance, monitor: StubMonitor) -> None:
    process = appliance.start()
    monitor.until(lambda: any(path.endswith("/poll") for path, _ in monitor.heard))
    process.send_signal(signal.SIGTERM)
    assert process.wait(2) == 0


def test_a_second_agent_on_the_same_state_is_refused(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.start()
    monitor.until(lambda: monitor.reports)
    done = appliance.run()
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "another agent" in done.stderr


def test_a_monitor_with_another_authority_than_the_token_names_is_not_spoken_to(
    appliance: Appliance, monitor: StubMonitor, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    token = monitor.token.replace(monitor.authority.fingerprint, other.fingerprint)  # type: ignore[union-attr]
    done = appliance.run("--once", "--enrol", token, enrol=False)
    assert done.returncode == 6
    assert "another certificate authority" in done.stderr
    assert monitor.heard == []


def test_a_certificate_that_another_authority_made_is_not_believed(
    appliance: Appliance, authority: Authority, monitor: StubMonitor, tmp_path: Path
) -> None:
    """The right authority is shown, and somebody else answers."""
    impostor = StubMonitor(Authority(tmp_path, "impostor"))
    impostor.authority = authority
    try:
        done = appliance.run("--once", "--url", impostor.url)
    finally:
        impostor.close()
    assert done.returncode == 4
    assert "certificate" in done.stderr
    assert impostor.heard == []


def test_the_systems_trust_decides_when_the_token_names_no_authority(
    appliance: Appliance, authority: Authority, monitor: StubMonitor, tmp_path: Path
) -> None:
    token = monitor.token.replace(authority.fingerprint, "-")
    assert appliance.run("--once", "--enrol", token, enrol=False).returncode == 4
    file = tmp_path / "given.pem"
    file.write_bytes(authority.pem)
    assert appliance.run("--once", "--ca", str(file), "--enrol", token, enrol=False).returncode == 0
    assert len(monitor.reports) == 1


def test_a_token_that_was_used_by_another_agent_ends_it_with_a_sentence(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.instance = "0" * 32
    done = appliance.run("--once")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert monitor.token not in done.stderr


def test_a_disk_that_takes_nothing_does_not_silence_the_agent(appliance: Appliance, monitor: StubMonitor) -> None:
    agent = appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2)
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, 0))
    taken = len(monitor.reports)
    monitor.command("now", "report_now")
    assert monitor.result("now")["ok"] is True
    monitor.new_key = True
    monitor.until(lambda: not monitor.new_key)
    monitor.until(lambda: len(monitor.reports) >= taken + 4)
    assert {kind for _, kind, _ in monitor.told()[taken:]} == {"diff"}
    assert monitor.told()[-1][0] == len(monitor.reports)
    assert agent.poll() is None


def test_less_is_told_when_the_monitor_takes_less(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.write(
        "var/lib/dpkg/status",
        "".join(
            f"Package: p{number}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
            for number in range(3000)
        ),
    )
    monitor.most = 100_000
    appliance.start()
    monitor.until(lambda: len(monitor.reports) >= 2, within_s=60)
    assert "packages" not in monitor.sections
    assert "accounts" in monitor.sections
    assert "packages cannot be told" in appliance.log


def test_nothing_of_a_secret_is_in_its_log_or_open_to_others(appliance: Appliance, monitor: StubMonitor) -> None:
    process = appliance.start()
    monitor.until(lambda: monitor.reports)
    monitor.trick("/report", "401", "unsigned")
    monitor.until(lambda: not monitor.tricks)
    process.terminate()
    process.wait(5)
    secret = json.loads((appliance.state / "key.json").read_text())["secret"]
    assert secret not in appliance.log
    assert monitor.token not in appliance.log
    assert monitor.token.split(".")[3] not in json.dumps(monitor.reports)
    assert appliance.state.stat().st_mode & 0o777 == 0o700
    modes = {path.stat().st_mode & 0o077 for path in appliance.state.rglob("*")}
    assert modes == {0}


def test_plain_http_goes_to_this_machine_and_only_when_asked(appliance: Appliance, tmp_path: Path) -> None:
    plain = StubMonitor(None)
    try:
        words = ["--once", "--enrol", plain.token, "--url", plain.url]
        refused = appliance.run(*words, enrol=False)
        assert (refused.returncode, "--insecure-http" in refused.stderr) == (2, True)
        assert appliance.run(*words, "--insecure-http", enrol=False).returncode == 0
        far = appliance.run("--once", "--url", "http://192.0.2.1", "--insecure-http")
        assert (far.returncode, "192.0.2.1" in far.stderr) == (2, True)
    finally:
        plain.close()
    assert len(plain.reports) == 1
