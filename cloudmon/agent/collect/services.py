"""Services, where systemd runs. Elsewhere nobody keeps a list of them, and none is told."""

from __future__ import annotations

import os
from typing import Any

from .. import programs, rooted
from ..rooted import Root

RUNNING = {"active": "running", "activating": "running", "reloading": "running", "failed": "failed"}


def systemctl(root: Root) -> str | None:
    """The program, where systemd runs this appliance; None elsewhere."""
    if root or not os.path.isdir("/run/systemd/system"):
        return None
    return programs.find("systemctl")


def units(raw: bytes) -> dict[str, str]:
    """States by name, from ``systemctl list-units``."""
    found = {}
    for line in rooted.text(raw).split("\n"):
        words = line.split()
        if words[:1] in (["●"], ["*"]):
            del words[0]
        if len(words) >= 4 and words[0].endswith(".service") and words[1] == "loaded":
            found[words[0][: -len(".service")]] = RUNNING.get(words[2], "stopped")
    return found


def enabled(raw: bytes) -> dict[str, bool]:
    """Whether they start at boot, from ``systemctl list-unit-files``."""
    found = {}
    for line in rooted.text(raw).split("\n"):
        words = line.split()
        if len(words) >= 2 and words[0].endswith(".service"):
            found[words[0][: -len(".service")]] = words[1] in {"enabled", "enabled-runtime", "alias"}
    return found


def section(root: Root) -> dict[str, Any]:
    """OSError where there is no systemd to ask, or it does not answer."""
    program = systemctl(root)
    if program is None:
        raise OSError("systemd does not run here")
    words = ["--type=service", "--all", "--no-legend", "--no-pager", "--plain", "--full"]
    ran = programs.run([program, "list-units", *words], timeout_s=20)
    if ran.exit != 0:
        raise OSError(f"systemctl list-units ended with {ran.exit}")
    started = programs.run([program, "list-unit-files", *words[:-2], "--full"], timeout_s=20)
    at_boot = enabled(started.output) if started.exit == 0 else {}
    told: dict[str, Any] = {}
    for name, state in units(ran.output).items():
        told[name] = {"state": state}
        # An instance of a template, such as getty@tty1, is enabled as its template is.
        known = at_boot.get(name, at_boot.get(name.partition("@")[0] + "@"))
        if known is not None:
            told[name]["enabled"] = known
    return told
