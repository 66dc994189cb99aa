"""The agent's environment: the only place in it that reads it, and for one thing only: who runs an appliance that is a
directory tells the processes in it which boot of which appliance they are."""

from __future__ import annotations

import os
import re

PREFIX = "CLOUDMON_"

_WORD = re.compile(r"[A-Za-z0-9._:-]{8,64}")


def told() -> dict[str, str]:
    """What is meant for all processes of such an appliance, and is passed on to them."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}


def boot_id() -> str:
    """Id of the boot; empty when nobody says."""
    found = told().get("CLOUDMON_BOOT_ID", "")
    return found if _WORD.fullmatch(found) else ""
