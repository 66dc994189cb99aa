"""A newer agent in the place of the running one."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

from agents import Appliance
from stub_monitor import StubMonitor

from cloudmon.channel import shipping


def other(text: str = "", *, version: str = "9.9.9") -> bytes:
    """The shipped agent under another version, ``text`` put before its command line."""
    packed = io.BytesIO()
    packed.write(shipping.SHEBANG)
    with (
        zipfile.ZipFile(io.BytesIO(shipping.build())) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = old.read(name).decode()
            if name.endswith("/version.py"):
                content = re.sub(r'^VERSION = ".*"$', f'VERSION = "{version}"', content, flags=re.MULTILINE)
            if name == "__main__.py":
                content = text + content
            new.writestr(name, content)
    return packed.getvalue()


def versions(monitor: StubMonitor) -> list[str]:
    with monitor.lock:
        return [report["version"] for report in monitor.reports]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_newest_agent_takes_over_in_the_same_process_and_says_so(
    appliance: Appliance, monitor: StubMonitor
) -> None:
    monitor.pyz = other()
    process = appliance.start()
    monitor.command("new", "agent_upgrade")
    result = monitor.result("new", within_s=60)
    assert result["ok"] is True
    assert process.poll() is None
    assert versions(monitor)[0] == shipping.version()
    assert versions(monitor)[-1] == "9.9.9"
    assert appliance.file.read_bytes() == monitor.pyz
    monitor.until(lambda: not (appliance.state / "upgrade.json").exists())
    assert len({report["boot"] for report in monitor.reports}) == 1
    monitor.command("again", "agent_upgrade")
    assert monitor.result("again")["output"] == "this agent is the newest one"


def test_one_that_does_not_start_never_takes_its_place(appliance: Appliance, monitor: StubMonitor) -> None:
    before = digest(appliance.file)
    appliance.start()
    for name, pyz in (("broken", other("raise SystemExit(1)\n")), ("nonsense", b"\0" * 1000), ("missing", b"")):
        monitor.pyz = pyz
        monitor.command(name, "agent_upgrade")
        result = monitor.result(name, within_s=60)
        assert result["ok"] is False
    assert digest(appliance.file) == before
    assert set(versions(monitor)) == {shipping.version()}


def test_one_that_keeps_falling_is_replaced_by_the_one_before_it(appliance: Appliance, monitor: StubMonitor) -> None:
    """It starts, takes note of it, and falls before it has reported: the fourth start brings the old one back."""
    fall = (
        "import sys\nfrom cloudmon_agent import reporting\ndef fall(*_): sys.exit(9)\nreporting.Reporter.write = fall\n"
    )
    monitor.pyz = other(fall)
    process = appliance.start()
    monitor.command("new", "agent_upgrade")
    assert process.wait(60) == 9
    assert json.loads((appliance.state / "upgrade.json").read_text())["starts"] == 1
    for _ in range(2):
        assert appliance.start(enrol=False).wait(60) == 9
    appliance.start(enrol=False)
    result = monitor.result("new", within_s=60)
    assert result["ok"] is False
    assert set(versions(monitor)) == {shipping.version()}
    assert not (appliance.state / "upgrade.json").exists()
