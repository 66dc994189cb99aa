"""What the monitor may ask for, in an appliance that is a directory, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from agents import SLEEPER, Appliance, application, members
from stub_monitor import StubMonitor


def app(monitor: StubMonitor, name: str = "web") -> dict[str, Any]:
    with monitor.lock:
        return dict(monitor.sections.get("applications", {}).get(name, {}))


def declare(appliance: Appliance, monitor: StubMonitor, text: str = SLEEPER, **more: Any) -> None:
    appliance.write("srv/web.py", text)
    monitor.config = {**monitor.config, "interval_s": 3600, "applications": {"web": application(**more)}}


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


LISTENER = """
import pathlib, socket, sys
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(("127.0.0.1", {port}))
listening.listen()
while True:
    one, _ = listening.accept()
    one.close()
"""


def test_an_application_is_started_at_boot_and_its_fall_is_told_at_once(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    declare(appliance, monitor)
    agent = appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    pid = app(monitor)["pid"]
    assert os.getsid(pid) == agent.pid
    assert os.getpgid(pid) == pid
    os.kill(pid, signal.SIGKILL)
    monitor.until(lambda: app(monitor).get("state") == "down")
    assert monitor.reports[-1]["why"] == "fault"
    assert "pid" not in app(monitor)
    assert app(monitor)["restarts"] == 0


def test_after_its_boot_the_agent_starts_no_application_by_itself(appliance: Appliance, monitor: StubMonitor) -> None:
    """Not even when it is itself started again in the same boot, by the script that keeps it running."""
    declare(appliance, monitor, start_at_boot=True)
    words = appliance.command("--enrol", monitor.token)
    script = "import subprocess, sys\nwhile subprocess.run(sys.argv[1:]).returncode: pass"
    boot = subprocess.Popen([sys.executable, "-c", script, *words], start_new_session=True)
    appliance.processes.append(boot)
    monitor.until(lambda: app(monitor).get("state") == "up")
    os.kill(app(monitor)["pid"], signal.SIGKILL)
    monitor.until(lambda: app(monitor).get("state") == "down")
    (agent,) = [pid for pid in members(boot.pid) if pid != boot.pid]
    os.kill(agent, signal.SIGKILL)
    taken = len(monitor.reports)
    monitor.until(lambda: len(monitor.reports) > taken)
    assert monitor.reports[taken]["why"] == "start"
    assert monitor.reports[taken]["boot"] == monitor.reports[0]["boot"]
    assert monitor.reports[taken]["seq"] == monitor.reports[taken - 1]["seq"] + 1
    monitor.command("now", "report_now")
    monitor.result("now")
    assert app(monitor)["state"] == "down"


def test_one_that_may_not_start_at_boot_waits_for_a_command(appliance: Appliance, monitor: StubMonitor) -> None:
    declare(appliance, monitor, start_at_boot=False)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "down")
    monitor.command("up", "app_restart", application="web")
    assert monitor.result("up")["ok"] is True
    assert app(monitor)["state"] == "up"


def test_a_restart_by_command_is_no_restart_by_itself(appliance: Appliance, monitor: StubMonitor) -> None:
    declare(appliance, monitor)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    before = app(monitor)["pid"]
    monitor.command("again", "app_restart", application="web")
    assert monitor.result("again")["ok"] is True
    assert app(monitor)["state"] == "up"
    assert app(monitor)["pid"] != before
    assert app(monitor)["restarts"] == 0


KEEPER = """
import subprocess, sys
while True:
    subprocess.run([sys.executable, sys.argv[1] + "/srv/" + "web.py"])
"""
BEGIN = """
import subprocess, sys
subprocess.Popen([sys.executable, sys.argv[1] + "/srv/keeper.py", sys.argv[1]])
"""


def test_one_that_somebody_else_brings_back_is_counted(appliance: Appliance, monitor: StubMonitor) -> None:
    appliance.write("srv/web.py", SLEEPER)
    appliance.write("srv/keeper.py", KEEPER)
    appliance.write("srv/begin.py", BEGIN)
    monitor.config = {
        **monitor.config,
        "interval_s": 3600,
        "applications": {"web": {"match": "srv/web.py"}},
        "jobs": {"begin": {"argv": ["{python}", "{root}/srv/begin.py", "{root}"]}},
    }
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "down")
    monitor.command("begin", "job_run", job="begin")
    monitor.until(lambda: app(monitor).get("state") == "up")
    assert app(monitor)["restarts"] == 0
    for count in (1, 2):
        os.kill(app(monitor)["pid"], signal.SIGKILL)
        monitor.until(lambda count=count: app(monitor)["restarts"] == count)  # type: ignore[misc]
        assert monitor.reports[-1]["why"] == "fault"
        monitor.until(lambda: app(monitor)["state"] == "up")


def test_stop_suspend_and_resume_do_what_they_say(appliance: Appliance, monitor: StubMonitor) -> None:
    declare(appliance, monitor)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    pid = str(app(monitor)["pid"])
    monitor.command("hold", "app_suspend", application="web")
    assert monitor.result("hold")["ok"] is True
    assert monitor.sections["processes"][pid]["state"] == "stopped"
    assert (app(monitor)["state"], app(monitor)["pid"]) == ("stopped", int(pid))
    assert "fault" not in [report["why"] for report in monitor.reports]
    monitor.command("go", "app_resume", application="web")
    assert monitor.result("go")["ok"] is True
    assert monitor.sections["processes"][pid]["state"] == "running"
    assert app(monitor)["state"] == "up"
    monitor.command("hold again", "app_suspend", application="web")
    monitor.command("stop", "app_stop", application="web")
    assert monitor.result("stop")["ok"] is True
    assert app(monitor)["state"] == "stopped"
    assert pid not in monitor.sections["processes"]
    monitor.command("nothing", "app_resume", application="web")
    assert monitor.result("nothing")["error"] == "no process of web is there"
    # It stays stopped by an order until somebody starts it; from then on it falls as any other does.
    monitor.command("up", "app_restart", application="web")
    assert monitor.result("up")["ok"] is True
    os.kill(int(app(monitor)["pid"]), signal.SIGKILL)
    monitor.until(lambda: app(monitor)["state"] == "down")


def test_a_stop_command_is_used_and_what_it_leaves_is_ended(appliance: Appliance, monitor: StubMonitor) -> None:
    stop = ["{python}", "-c", "import sys; open(sys.argv[1], 'w').write('srv/web.py')", "{root}/srv/asked"]
    declare(appliance, monitor, SLEEPER, stop=stop)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    monitor.command("stop", "app_stop", application="web", timeout_s=8)
    assert monitor.result("stop")["ok"] is True
    assert (appliance.root / "srv/asked").read_text() == "srv/web.py"
    assert app(monitor)["state"] == "stopped"


def test_one_that_was_stopped_has_not_fallen_until_it_is_started_and_falls(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    declare(appliance, monitor)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    monitor.command("stop", "app_stop", application="web")
    monitor.result("stop")
    monitor.command("look", "report_now")
    monitor.result("look")
    assert app(monitor)["state"] == "stopped"
    assert "fault" not in [why for _, _, why in monitor.told()]
    monitor.command("start", "app_restart", application="web")
    monitor.result("start")
    assert app(monitor)["state"] == "up"
    os.kill(app(monitor)["pid"], signal.SIGKILL)
    monitor.until(lambda: app(monitor)["state"] == "down")


def test_one_that_falls_while_its_start_is_waited_for_is_started_again(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    """The start at boot finds it running, waits to see it well, and must not wait for what is dead."""
    declare(appliance, monitor, probe={"command": ["/bin/false"]})
    appliance.start()
    monitor.until(lambda: "pid" in app(monitor))
    first = app(monitor)["pid"]
    monitor.command("again", "app_restart", application="web", timeout_s=20)
    os.kill(first, signal.SIGKILL)
    monitor.until(lambda: app(monitor).get("pid", first) != first)


def test_one_that_will_not_end_is_made_to(appliance: Appliance, monitor: StubMonitor) -> None:
    declare(appliance, monitor, "import signal\nsignal.signal(15, signal.SIG_IGN)\n" + SLEEPER)
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    monitor.command("stop", "app_stop", application="web", timeout_s=6)
    assert monitor.result("stop")["ok"] is True


def test_one_that_falls_at_once_is_told_with_what_it_said(appliance: Appliance, monitor: StubMonitor) -> None:
    declare(appliance, monitor, "raise SystemExit('no such table')\n", start_at_boot=False)
    appliance.start()
    monitor.command("up", "app_restart", application="web")
    result = monitor.result("up")
    assert (result["ok"], result["exit"]) == (False, 1)
    assert result["output"].strip() == "no such table"
    assert "ended at once" in result["error"]


def test_a_probe_that_fails_takes_the_application_down_and_a_restart_waits_for_it(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    port = free_port()
    declare(appliance, monitor, LISTENER.format(port=port), probe={"tcp": port})
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up" and app(monitor).get("probe") == {"ok": True, "error": ""})
    appliance.write("srv/web.py", SLEEPER)
    monitor.command("again", "app_restart", application="web", timeout_s=3)
    result = monitor.result("again")
    assert result["ok"] is False
    assert "its probe says: Connection refused" in result["error"]
    assert (app(monitor)["state"], app(monitor)["probe"]["ok"]) == ("down", False)


def test_a_job_is_run_as_declared_and_its_end_kept(appliance: Appliance, monitor: StubMonitor) -> None:
    code = "import os, sys; print(os.getcwd(), len(os.environ)); sys.exit(3)"
    monitor.config = {
        **monitor.config,
        "jobs": {
            "tell": {"argv": ["{python}", "-c", code]},
            "much": {"argv": ["{python}", "-c", "print('a' * 100_000 + 'end')"]},
            "long": {
                "argv": ["{python}", "-c", "import time; print('began', flush=True); time.sleep(60)"],
                "timeout_s": 1,
            },
            "shell": {"argv": ["echo", "$HOME; exit 1", "`id`"]},
            "none": {"argv": ["/no/such/program"]},
        },
    }
    appliance.start()
    for job in (*monitor.config["jobs"], "undeclared"):
        monitor.command(job, "job_run", job=job)
    told = monitor.result("tell")
    assert (told["ok"], told["exit"]) == (False, 3)
    assert told["output"].split()[0] == str(appliance.root)
    much = monitor.result("much")
    assert (much["ok"], len(much["output"]), much["output"][-4:]) == (True, 16384, "end\n")
    long = monitor.result("long")
    assert (long["ok"], long["output"]) == (False, "began\n")
    assert "within 1 s" in long["error"]
    assert monitor.result("shell")["output"] == "$HOME; exit 1 `id`\n"
    assert "no such program" in monitor.result("none")["error"]
    assert "no job" in monitor.result("undeclared")["error"]


def test_a_process_is_ended_when_pid_and_name_fit_and_never_outside_the_appliance(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    declare(appliance, monitor)
    agent = appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        pid = str(app(monitor)["pid"])
        name = monitor.sections["processes"][pid]["name"]
        monitor.command("other name", "process_end", pid=pid, name="httpd")
        monitor.command("stranger", "process_end", pid=str(stranger.pid), name="sleep")
        own = monitor.sections["processes"][str(agent.pid)]["name"]
        monitor.command("itself", "process_end", pid=str(agent.pid), name=own)
        monitor.command("first", "process_end", pid="1", name="systemd")
        assert "not httpd" in monitor.result("other name")["error"]
        assert "no process" in monitor.result("stranger")["error"]
        assert "agent's own" in monitor.result("itself")["error"]
        assert monitor.result("first")["ok"] is False
        assert stranger.poll() is None
        monitor.command("right", "process_end", pid=pid, name=name)
        assert monitor.result("right")["ok"] is True
        assert pid not in monitor.sections["processes"]
        assert str(stranger.pid) not in monitor.sections["processes"]
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("verb", "arguments", "error"),
    [
        pytest.param("format_disk", {}, "knows no 'format_disk'", id="unknown verb"),
        pytest.param("", {}, "knows no ''", id="no verb"),
        pytest.param("app_restart", {}, "needs application", id="argument missing"),
        pytest.param("app_restart", {"application": "web", "force": "yes"}, "no argument 'force'", id="too many"),
        pytest.param("app_restart", {"application": "nothing"}, "no application 'nothing'", id="undeclared"),
        pytest.param("job_run", {"job": ["a"]}, "must be a short text", id="no text"),
        pytest.param("process_end", {"pid": "-1", "name": "a"}, "must be a number", id="pid is none"),
        pytest.param("app_install", {}, "needs application or package", id="nothing to install"),
        pytest.param("app_install", {"package": "--force"}, "no name of a package", id="an option for a name"),
        pytest.param("app_install", {"package": "a", "version": "1 -y"}, "no version", id="an option for a version"),
    ],
)
def test_what_is_not_understood_is_answered_with_one_sentence(
    verb: str, arguments: dict[str, Any], error: str, appliance: Appliance, monitor: StubMonitor
) -> None:
    appliance.start()
    monitor.command("odd", verb, **arguments)
    result = monitor.result("odd")
    assert result["ok"] is False
    assert error in result["error"]


def test_what_has_expired_by_the_monitors_clock_is_not_performed(appliance: Appliance, monitor: StubMonitor) -> None:
    monitor.ahead_s = 3 * 3600
    monitor.config = {**monitor.config, "jobs": {"touch": {"argv": ["touch", "{root}/touched"]}}}
    appliance.start()
    monitor.command("late", "job_run", job="touch", expires_in_s=-1)
    assert "expired" in monitor.result("late")["error"]
    monitor.command("in time", "job_run", job="touch", expires_in_s=60)
    assert monitor.result("in time")["ok"] is True
    assert (appliance.root / "touched").exists()


def test_a_repeat_is_answered_with_the_old_result_also_after_a_restart(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    argv = ["{python}", "-c", "import sys; open(sys.argv[1], 'a').write('x')", "{root}/count"]
    monitor.config = {**monitor.config, "jobs": {"count": {"argv": argv}}}
    first = appliance.start()
    monitor.command("once", "job_run", job="count")
    result = monitor.result("once")
    for restart in (False, True):
        if restart:
            first.kill()
            first.wait()
            appliance.start(enrol=False)
        with monitor.lock:
            monitor.results.clear()
            monitor.open.append("once")
        assert monitor.result("once") == result
    assert (appliance.root / "count").read_text() == "x"


def test_one_that_was_under_way_when_the_agent_was_killed_is_answered_as_not_known(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.config = {**monitor.config, "jobs": {"long": {"argv": ["sleep", "600"], "timeout_s": 600}}}
    first = appliance.start()
    monitor.command("long", "job_run", job="long")
    monitor.until(lambda: list((appliance.state / "commands").glob("*.json")))
    first.kill()
    first.wait()
    appliance.start(enrol=False)
    result = monitor.result("long")
    assert result["error"] == "interrupted; whether it was performed is not known"


def test_commands_for_one_application_wait_for_each_other_and_others_do_not(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    slow = ["{python}", "-c", "import time; time.sleep(2)"]
    declare(appliance, monitor, stop=slow)
    monitor.config["jobs"] = {"quick": {"argv": ["true"]}}
    appliance.start()
    monitor.until(lambda: app(monitor).get("state") == "up")
    monitor.command("stop", "app_stop", application="web")
    monitor.command("start", "app_restart", application="web")
    monitor.command("quick", "job_run", job="quick")
    stop, start, quick = (monitor.result(name)["ended_at"] for name in ("stop", "start", "quick"))
    assert quick < stop < start
    assert app(monitor)["state"] == "up"
