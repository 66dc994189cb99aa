"""What osquery hosts are asked: a schedule of queries, each one section of the one model, and the options. Pure.

What seldom changes is asked for by what changed (an item of the model is one row, so rows added and removed say which
items), and whole once a day, when its epoch does; what changes all the time is told whole each interval. A query's name
holds the hash of its text: osquery would take another text under the same name for a change of the same rows.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cloudmon.model.identity import ApplianceId

SLOW_S = 60
"""Least seconds between two looks at what seldom changes."""

EPOCH_S = 86_400
"""Seconds after which it is told whole again."""

MOST_LINES = 16
"""Lines of results in one request, at most: a backlog must not come to more than a request may have."""

KEPT_LINES = 2_000
"""Lines that a host keeps while nobody takes them."""

DISTRIBUTED_S = 10
"""Seconds between two questions of a host whether there is a command."""

COMMAND = 200
"""Characters of a command line that are told."""

FILESYSTEMS = (
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs", "ntfs3", "overlay",
    "reiserfs", "vfat", "xfs", "zfs",
)  # fmt: skip
"""Those that hold data of the host."""

SYSTEM = """SELECT (SELECT hostname FROM system_info) AS hostname, (SELECT cpu_type FROM system_info) AS arch,
 (SELECT platform FROM os_version) AS os, (SELECT version FROM os_version) AS os_version,
 (SELECT version FROM kernel_info) AS kernel, (SELECT total_seconds FROM uptime) AS uptime"""
PACKAGES = """SELECT name, version, arch, 'dpkg' AS manager FROM deb_packages WHERE status LIKE '% installed'
 UNION ALL SELECT name, CASE WHEN epoch > 0 THEN epoch || ':' ELSE '' END || version || '-' || release, arch, 'rpm'
 FROM rpm_packages WHERE name <> 'gpg-pubkey'"""
ACCOUNTS = """SELECT u.username, u.uid, u.gid, u.directory, u.shell,
 (SELECT group_concat(g.groupname, ',') FROM user_groups m JOIN groups g ON g.gid = m.gid
  WHERE m.uid = u.uid AND m.gid <> u.gid) AS other_groups,
 (SELECT group_concat(a.key, ' ') FROM authorized_keys a WHERE a.uid = u.uid) AS keys,
 (SELECT s.password_status FROM shadow s WHERE s.username = u.username) AS password_status FROM users u"""
SERVICES = """SELECT id, active_state, unit_file_state FROM systemd_units
 WHERE id LIKE '%.service' AND load_state = 'loaded'"""
PROCESSES = f"""SELECT pid, name, substr(cmdline, 1, {COMMAND}) AS cmdline, state, uid, resident_size, user_time,
 system_time, start_time FROM processes WHERE parent <> 2 AND pid <> 2"""
LOAD = """SELECT (SELECT average FROM load_average WHERE period = '1m') AS one,
 (SELECT average FROM load_average WHERE period = '5m') AS five,
 (SELECT average FROM load_average WHERE period = '15m') AS fifteen,
 (SELECT cpu_logical_cores FROM system_info) AS cpus"""
MEMORY = "SELECT memory_total, memory_available, swap_total, swap_free FROM memory_info"
DISKS = f"""SELECT device, path, type, blocks_size, blocks, blocks_free, blocks_available FROM mounts
 WHERE type IN ({", ".join(f"'{kind}'" for kind in FILESYSTEMS)})"""
NETWORK = """SELECT interface, ibytes, obytes, ipackets, opackets,
 (SELECT group_concat(a.address, ',') FROM interface_addresses a WHERE a.interface = d.interface) AS addresses
 FROM interface_details d WHERE interface <> 'lo'"""

MATCHES, PROBES = "matches", "probes"
"""Not sections, but what the section of applications is made of."""


class Query(NamedTuple):
    """One query of the schedule."""

    section: str
    sql: str
    slow: bool = False
    """Asked for by what changed."""

    @property
    def name(self) -> str:
        digest = hashlib.sha256(self.sql.encode(errors="replace")).hexdigest()
        return f"cloudmon_{self.section}_{digest[:8]}"


class Schedule(NamedTuple):
    """All that the hosts of one configuration are asked."""

    queries: Mapping[str, Query]
    """By name."""
    interval_s: int
    applications: Mapping[str, Mapping[str, Any]]
    files: Sequence[str]


def schedule(content: Mapping[str, Any], interval_s: int) -> Schedule:
    """What is asked where agents would be told ``content``."""
    applications, files = content["applications"], content["files"]
    found = [
        Query("system", SYSTEM),
        Query("packages", PACKAGES, slow=True),
        Query("accounts", ACCOUNTS, slow=True),
        Query("services", SERVICES, slow=True),
        Query("processes", PROCESSES),
        Query("load", LOAD),
        Query("memory", MEMORY),
        Query("disks", DISKS),
        Query("network", NETWORK),
    ]
    if files:
        found.append(Query("files", _files(files), slow=True))
    for section, parts in ((MATCHES, _matches(applications)), (PROBES, _probes(applications))):
        text = "\n UNION ALL ".join(parts)
        if text:
            found.append(Query(section, text))
    return Schedule({query.name: query for query in found}, interval_s, applications, files)


def config(asked: Schedule, appliance: ApplianceId, now: float) -> dict[str, Any]:
    """The configuration of one host at ``now``, unix seconds, as osquery takes it."""
    interval_s = asked.interval_s
    # Not all hosts tell everything in the same minute.
    phase = zlib.crc32(f"{appliance.set_uid}/{appliance.ordinal}".encode()) % EPOCH_S
    return {
        "options": {
            "logger_event_type": False,
            "logger_snapshot_event_type": False,
            "logger_tls_max_lines": MOST_LINES,
            "logger_tls_period": max(1, min(interval_s // 2, 10)),
            "logger_tls_backoff_max": max(30, interval_s),
            "buffered_log_max": KEPT_LINES,
            "decorations_top_level": False,
            "schedule_splay_percent": 10,
            "schedule_epoch": int((now + phase) // EPOCH_S),
            "distributed_interval": min(DISTRIBUTED_S, max(1, interval_s)),
        },
        "decorators": {"load": ["SELECT version AS osquery_version FROM osquery_info"]},
        "schedule": {
            name: {
                "query": query.sql,
                "interval": max(interval_s, SLOW_S) if query.slow else interval_s,
                **({"removed": True} if query.slow else {"snapshot": True}),
            }
            for name, query in asked.queries.items()
        },
        "node_invalid": False,
    }


def quoted(text: str) -> str:
    """A text within SQL."""
    return "'" + text.replace("\0", "").replace("'", "''") + "'"


def _files(paths: Sequence[str]) -> str:
    listed = ", ".join(map(quoted, paths))
    return f"""SELECT f.path, f.size, f.mode, f.uid, f.type, h.sha256 FROM file f LEFT JOIN hash h ON h.path = f.path
 WHERE f.path IN ({listed})"""


def _matches(applications: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, one in applications.items():
        if one.get("match"):
            yield (
                f"SELECT {quoted(name)} AS application, pid, start_time FROM processes "
                f"WHERE instr(cmdline, {quoted(one['match'])}) > 0 AND state NOT IN ('Z', 'X', 'x')"
            )


def _probes(applications: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Those that osquery can do: whether somebody listens, what is answered, how old a file is."""
    for name, one in applications.items():
        probe = one.get("probe") or {}
        if "tcp" in probe:
            answer = f"(SELECT count(*) FROM listening_ports WHERE port = {int(probe['tcp'])} AND protocol = 6)"
        elif "http" in probe:
            answer = f"(SELECT response_code FROM curl WHERE url = {quoted(str(probe['http']))})"
        elif "file" in probe:
            age = f"(SELECT unix_time FROM time) - mtime FROM file WHERE path = {quoted(str(probe['file']))}"
            answer = f"(SELECT {age})"
        else:
            continue
        yield f"SELECT {quoted(name)} AS application, {answer} AS answer"
