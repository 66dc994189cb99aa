"""An osqueryd of a test's own, as unkind as the real one: written after what its sources do, not after what one wishes.

It looks at no status of HTTP; an empty answer is a good one; ``error`` and ``node_invalid`` are all it understands. It
keeps its lines in a database and sends them, oldest second first and within a second as text sorts, until an answer
pleases it; numbers are text unless it is told otherwise; text need not be UTF-8. Queries run on real SQL, over tables
with the columns of osquery's own.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Send = Callable[[str, dict[str, str], bytes], Awaitable[tuple[int, bytes]]]
Rows = list[dict[str, Any]]

COLUMNS = {
    "system_info": "hostname uuid cpu_type cpu_logical_cores",
    "os_version": "name version major minor platform",
    "kernel_info": "version",
    "uptime": "total_seconds",
    "osquery_info": "pid uuid instance_id version",
    "deb_packages": "name version arch revision status",
    "rpm_packages": "name version release arch epoch",
    "users": "uid gid username directory shell",
    "groups": "gid groupname",
    "user_groups": "uid gid",
    "authorized_keys": "uid algorithm key",
    "shadow": "username password_status",
    "systemd_units": "id load_state active_state sub_state unit_file_state",
    "processes": "pid name cmdline state uid parent resident_size user_time system_time start_time",
    "load_average": "period average",
    "memory_info": "memory_total memory_free memory_available swap_total swap_free",
    "mounts": "device path type blocks_size blocks blocks_free blocks_available",
    "interface_details": "interface ibytes obytes ipackets opackets",
    "interface_addresses": "interface address",
    "file": "path size mode uid type mtime",
    "hash": "path sha256",
    "listening_ports": "pid port protocol address",
    "curl": "url response_code",
    "time": "unix_time",
}
"""As osquery's specs have them, those that matter."""


def host() -> dict[str, Rows]:
    """A small Debian host with a shop on it."""
    return {
        "system_info": [{"hostname": "shop-1", "cpu_type": "x86_64", "cpu_logical_cores": 2}],
        "os_version": [{"name": "Debian", "version": "12 (bookworm)", "platform": "debian"}],
        "kernel_info": [{"version": "6.1.0-18"}],
        "uptime": [{"total_seconds": 5_000}],
        "osquery_info": [{"pid": 7, "instance_id": "6f2c-1", "version": "5.12.1"}],
        "deb_packages": [
            {"name": "nginx", "version": "1.22.1-9", "arch": "amd64", "status": "install ok installed"},
            {"name": "vim", "version": "9.0", "arch": "amd64", "status": "deinstall ok config-files"},
        ],
        "users": [
            {"uid": 0, "gid": 0, "username": "root", "directory": "/root", "shell": "/bin/bash"},
            {"uid": 1000, "gid": 1000, "username": "ann", "directory": "/home/ann", "shell": "/bin/sh"},
        ],
        "groups": [{"gid": 0, "groupname": "root"}, {"gid": 27, "groupname": "sudo"}],
        "user_groups": [{"uid": 0, "gid": 0}, {"uid": 1000, "gid": 27}],
        "authorized_keys": [{"uid": 1000, "algorithm": "ssh-ed25519", "key": "AAAAC3NzaC1lZDI1NTE5AAAAIA=="}],
        "shadow": [{"username": "root", "password_status": "locked"}, {"username": "ann", "password_status": "active"}],
        "systemd_units": [
            {"id": "nginx.service", "load_state": "loaded", "active_state": "active", "unit_file_state": "enabled"},
            {"id": "cron.service", "load_state": "loaded", "active_state": "failed", "unit_file_state": "disabled"},
            {"id": "ghost.service", "load_state": "not-found", "active_state": "inactive", "unit_file_state": ""},
        ],
        "processes": [
            {"pid": 1, "name": "systemd", "cmdline": "/sbin/init", "state": "S", "uid": 0, "parent": 0,
             "resident_size": 12_582_912, "user_time": 900, "system_time": 100, "start_time": 1_000},
            {"pid": 9, "name": "kworker", "cmdline": "", "state": "I", "uid": 0, "parent": 2, "resident_size": 0,
             "user_time": 0, "system_time": 0, "start_time": 1_000},
            {"pid": 812, "name": "shop", "cmdline": "/opt/shop --port 80", "state": "S", "uid": 1000, "parent": 1,
             "resident_size": 104_857_600, "user_time": 5_000, "system_time": 1_000, "start_time": 1_100},
        ],
        "load_average": [{"period": "1m", "average": "0.516"}, {"period": "5m", "average": "0.4"},
                         {"period": "15m", "average": "0.3"}],
        "memory_info": [{"memory_total": 2_147_483_648, "memory_free": 1, "memory_available": 1_073_741_824,
                         "swap_total": 0, "swap_free": 0}],
        "mounts": [
            {"device": "/dev/vda1", "path": "/", "type": "ext4", "blocks_size": 4_096, "blocks": 1_000_000,
             "blocks_free": 600_000, "blocks_available": 500_000},
            {"device": "tmpfs", "path": "/run", "type": "tmpfs", "blocks_size": 4_096, "blocks": 99, "blocks_free": 9,
             "blocks_available": 9},
        ],
        "interface_details": [{"interface": "lo"}, {"interface": "eth0", "ibytes": 3_145_728, "obytes": 1_048_576,
                                                    "ipackets": 30, "opackets": 10}],
        "interface_addresses": [{"interface": "eth0", "address": "10.0.0.7"},
                                {"interface": "eth0", "address": "fe80::1%eth0"}],
        "file": [{"path": "/etc/shop.conf", "size": 12, "mode": "0640", "uid": 1000, "type": "regular", "mtime": 50}],
        "hash": [{"path": "/etc/shop.conf", "sha256": "ab" * 32}],
        "listening_ports": [{"pid": 812, "port": 80, "protocol": 6, "address": "10.0.0.7"}],
        "curl": [{"url": "http://127.0.0.1/", "response_code": 200}],
        "time": [{"unix_time": 100}],
    }  # fmt: skip


class Osqueryd:
    """One host. ``database`` outlives a restart; ``tables`` are what goes on in it.

    Arguments:
        secret: what stands in its enroll_secret file.
        send: takes a path, headers and a body; status and body of the answer, or raises OSError.
        now: the host's own clock, in unix seconds.
    """

    def __init__(self, secret: str, send: Send, now: Callable[[], float]) -> None:
        self.secret = secret
        self.send = send
        self.now = now
        self.tables = host()
        self.database: dict[str, Any] = {"lines": {}, "results": {}, "queries": {}}
        self.config: dict[str, Any] = {}
        self.compress = True
        self.overrides: dict[str, Any] = {}
        """Options that somebody set on the host itself."""
        self.attempts = 0
        self._numbers = itertools.count(1)
        self._finished: dict[str, tuple[int, Rows, str]] = {}

    # --- the wire -----------------------------------------------------------------------------------------------------

    async def post(self, path: str, content: Mapping[str, Any], *, pack: bool = False) -> dict[str, Any] | None:
        """As TLSRequestHelper does: None when it failed, whatever the reason."""
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogateescape")
        headers = {"Content-Type": "application/json", "User-Agent": "osquery/5.12.1"}
        if pack:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        try:
            _, answer = await self.send(f"/osquery/v1/{path}", headers, body)
            found = json.loads(answer) if answer else {}
        except (OSError, ValueError):
            return None
        if found.get("node_invalid"):
            self.database.pop("node_key", None)
            return None
        return None if "error" in found else found

    async def node_key(self) -> str:
        """The one it has, or a new one."""
        if not self.database.get("node_key"):
            self.attempts += 1
            details = {name: _text(self.tables[name][0]) for name in ("osquery_info", "system_info", "os_version")}
            found = await self.post("enroll", {
                "enroll_secret": self.secret, "host_identifier": "6f2c-1", "platform_type": "9",
                "host_details": details,
            })  # fmt: skip
            self.database["node_key"] = (found or {}).get("node_key", "")
        return str(self.database["node_key"])

    async def ask(self, path: str, content: Mapping[str, Any] | None = None, *, pack: bool = False) -> Any:
        return await self.post(path, {**(content or {}), "node_key": await self.node_key()}, pack=pack)

    # --- what it does by itself ---------------------------------------------------------------------------------------

    async def refresh(self) -> bool:
        """Fetch the configuration; whether there is one."""
        found = await self.ask("config")
        if found is not None:
            self.config = found
        return found is not None

    def option(self, name: str, default: Any = None) -> Any:
        return self.overrides.get(name, self.config.get("options", {}).get(name, default))

    def run(self, *sections: str) -> None:
        """Run the schedule, or the queries of some sections, once; what they say waits to be sent."""
        for name, query in self.config.get("schedule", {}).items():
            if sections and name.split("_")[1] not in sections:
                continue
            rows = self.sql(query["query"])
            if rows is None:
                self._status(f"Error executing scheduled query {name}: no such table")
            elif query.get("snapshot"):
                self._log({"snapshot": rows, "action": "snapshot", **self._about(name)})
            else:
                self._differences(name, rows)

    async def flush(self) -> bool:
        """Send what waits, as much as goes at once; whether there was anything and it was taken."""
        lines: dict[str, str] = self.database["lines"]
        some = sorted(lines)[: int(self.option("logger_tls_max_lines", 1_024))]
        ok = bool(some)
        for kind, letter in (("result", "r"), ("status", "s")):
            mine = [one for one in some if one[0] == letter]
            if mine:
                data = [json.loads(lines[one]) for one in mine]
                if await self.ask("log", {"log_type": kind, "data": data}, pack=self.compress) is None:
                    ok = False
                else:
                    for one in mine:
                        lines.pop(one, None)
        return ok

    async def talk(self, *sections: str) -> None:
        """A while of its life: configuration, queries, log, commands."""
        await self.refresh()
        self.run(*sections)
        while await self.flush():
            pass
        await self.distributed()

    async def distributed(self) -> None:
        """Fetch queries, run them, send what they came to; kept when it is not taken."""
        found = await self.ask("distributed/read")
        self.database["queries"].update((found or {}).get("queries", {}))
        for name in sorted(self.database["queries"]):
            rows = self.sql(self.database["queries"].pop(name))
            self._finished[name] = (1, [], "no such table") if rows is None else (0, rows, "")
        if self._finished:
            content = {
                "queries": {name: rows for name, (_, rows, _) in self._finished.items()},
                "statuses": {name: status for name, (status, _, _) in self._finished.items()},
                "messages": {name: message for name, (_, _, message) in self._finished.items()},
                "stats": {name: {"wall_time_ms": 1} for name in self._finished},
            }
            if await self.ask("distributed/write", content) is not None:
                self._finished = {}

    def restart(self) -> None:
        """It starts anew, with its database."""
        self._finished = {}

    # --- inside -------------------------------------------------------------------------------------------------------

    def sql(self, text: str) -> Rows | None:
        """What a query gives; None where it fails."""
        made = sqlite3.connect(":memory:")
        made.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            for name, columns in COLUMNS.items():
                if name in self.tables or name in EMPTY:
                    names = columns.split()
                    made.execute(f'CREATE TABLE "{name}" ({", ".join(names)})')
                    rows = [[_raw(row.get(one)) for one in names] for row in self.tables.get(name, [])]
                    made.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(names))})', rows)  # noqa: S608
            found = made.execute(text)
            titles = [one[0] for one in found.description]
            return [self._values(dict(zip(titles, map(_unraw, row), strict=True))) for row in found]
        except sqlite3.Error:
            return None
        finally:
            made.close()

    def _values(self, row: dict[str, Any]) -> dict[str, Any]:
        return row if self.option("logger_numerics") else _text(row)

    def _differences(self, name: str, rows: Rows) -> None:
        known = self.database["results"].get(name)
        epoch = self.option("schedule_epoch", 0)
        if known is None or known["epoch"] != epoch:
            added, removed, counter = rows, [], 0
        else:
            added = [row for row in rows if row not in known["rows"]]
            removed = [row for row in known["rows"] if row not in rows]
            counter = known["counter"] + 1
        self.database["results"][name] = {"rows": rows, "epoch": epoch, "counter": counter}
        if not added and not removed and counter:
            return
        about = {**self._about(name), "counter": counter}
        if not self.option("logger_event_type", True):
            self._log({"diffResults": {"removed": removed, "added": added}, **about})
            return
        for action, changed in (("removed", removed), ("added", added)):
            for row in changed:
                self._log({**about, "columns": row, "action": action})

    def _about(self, name: str) -> dict[str, Any]:
        (info,) = self.tables["osquery_info"]
        return {
            "name": name, "hostIdentifier": "6f2c-1", "calendarTime": "Sun Mar  1 12:00:00 2026 UTC",
            "unixTime": int(self.now()), "epoch": self.option("schedule_epoch", 0), "counter": 0, "numerics": False,
            "decorations": {"osquery_version": info["version"]},
        }  # fmt: skip

    def _status(self, message: str) -> None:
        line = {"severity": "2", "message": message, "filename": "scheduler.cpp", "line": "106", "unixTime": "1"}
        self._log(line, "s")

    def _log(self, line: Mapping[str, Any], letter: str = "r") -> None:
        # No leading noughts: of one second the tenth line sorts before the second one.
        key = f"{letter}_{int(self.now())}_{next(self._numbers)}"
        self.database["lines"][key] = json.dumps(line)


EMPTY = frozenset(("rpm_packages",))
"""Tables that are there on every Linux, with nothing in them on this one."""


def deflated(content: Mapping[str, Any], *, raw: bool) -> bytes:
    """A body packed as ``deflate`` is understood by one half of the world, or by the other."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
    return packer.compress(json.dumps(content).encode()) + packer.flush()


def _text(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _raw(value: Any) -> Any:
    """What SQLite takes; bytes that are no text it takes as bytes."""
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return value.encode("utf-8", "surrogateescape")
    return value


def _unraw(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
