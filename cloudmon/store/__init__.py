"""The memory outside the cloud: state table, incarnations, intents, action log and usage, in SQLite or PostgreSQL.

The only room that imports sqlmodel. Others call :func:`open_store` and the verbs of what it returns.
"""

from cloudmon.store.actionlog import LoggedEntry, Missing
from cloudmon.store.locks import Lock
from cloudmon.store.monitors import MonitorRow
from cloudmon.store.owned import Ownership
from cloudmon.store.requests import SetMove
from cloudmon.store.store import Store, open_store
from cloudmon.store.verification import Break, BreakKind

__all__ = [
    "Break",
    "BreakKind",
    "Lock",
    "LoggedEntry",
    "Missing",
    "MonitorRow",
    "Ownership",
    "SetMove",
    "Store",
    "open_store",
]
