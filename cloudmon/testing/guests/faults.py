"""What can go wrong in a simulated guest, and what chance says of it. Chance is a function of the seed: a guest with
the same seed has the same bad days, and nobody keeps a generator for each of ten thousand."""

from __future__ import annotations

import enum
import zlib


class Fault(enum.StrEnum):
    """One thing that goes wrong, until something puts it right."""

    CRASHED = "crashed"
    """An application is down: `app_restart`, or a boot."""
    MALWARE = "malware"
    """A bad file lies there: `quarantine`."""
    OUTDATED = "outdated"
    """A package is older than it is wanted: `app_update` or `app_install`."""
    STRAY_ACCOUNT = "stray-account"
    """Somebody made an account: `account_revoke`."""
    DISK_FULL = "disk-full"
    """The disk is nearly full: `job_run` of any job that is declared."""
    SILENT = "silent"
    """The agent hangs and says nothing more: a boot."""
    RESTART_LOOP = "restart-loop"
    """An application starts again and again: `app_restart`, or a boot."""


FAULTS = tuple(Fault)

IN_MEMORY = frozenset({Fault.CRASHED, Fault.SILENT, Fault.RESTART_LOOP})
"""What a boot ends; all else is on the disk."""


def chance(seed: int, *of: object) -> float:
    """A number from 0 to 1 that seed and words decide."""
    return (zlib.crc32(f"{seed}|{'|'.join(map(str, of))}".encode()) % 10_007) / 10_007
