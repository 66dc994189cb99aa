"""Where the settings file is, when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CLOUDMON_CONFIG"
DEFAULT = Path("cloudmon.toml")


def default_path() -> Path:
    """What ``CLOUDMON_CONFIG`` names, else ``cloudmon.toml`` where the command runs."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)
