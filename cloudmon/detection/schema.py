"""The model of an appliance that rules speak of: every fact, the same for every cloud, with its unit.

Published by ``cloudmon schema facts`` as JSON Schema. Names may be added; one that is there keeps its meaning.
"""

from __future__ import annotations

from typing import Any

from cloudmon.detection.shapes import BOOL, NUMBER, TEXT, WHOLE, Field, Listing, Record, Scalar, Shape, Table
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.nodes import NodeState

_TEXTS = Listing(TEXT)


def _age(about: str, of: str = "") -> Field:
    return Field(NUMBER, about, age_of=of, aging=True)


def _left(about: str, of: str) -> Field:
    return Field(NUMBER, about, age_of=of, aging=True, falling=True)


def _word(about: str, *words: str) -> Field:
    return Field(TEXT, about, words=tuple(str(word) for word in words))


_APPLIANCE = Record(
    {
        "set": Field(TEXT, "Name of its set."),
        "ordinal": Field(WHOLE, "Its number in the set."),
        "tenant": Field(TEXT, "Whose it is."),
        "template": Field(TEXT, "Name of its template."),
        "incarnation": Field(WHOLE, "Which of its nodes it is on: 1, 2, 3 and so on; 0 before the first."),
        "state": _word("Where it stands, as the monitor says.", *ApplianceState),
        "wanted": _word("What it is to be.", *Power),
        "state_s": _age("Seconds since it came into that state."),
    }
)
_NODE = Record(
    {
        "state": _word("Its state, in one vocabulary for all clouds.", *NodeState),
        "cloud": Field(TEXT, "Name of the cloud."),
        "size": Field(TEXT, "The cloud's name for its size."),
        "location": Field(TEXT, "The cloud's name for its location."),
        "age_s": _age("Seconds since the cloud made or launched it."),
    }
)
_REPORT = Record(
    {
        "age_s": _age("Seconds since the newest report came in."),
        "silent_s": _age(
            "Seconds for which it could have been heard and was not; not known before a monitor has run long enough."
        ),
        "seq": Field(WHOLE, "Number of the newest report since the appliance started."),
        "boot": Field(TEXT, "Id of that start."),
        "interval_s": Field(WHOLE, "Seconds between two reports while nothing changes."),
        "awaited": Field(
            BOOL,
            "True while nothing ever came from the agent that its template brings along, unless that was revoked; not "
            "known until the monitor has listened for three intervals and a minute.",
        ),
        "offset_s": Field(NUMBER, "Seconds by which the appliance's clock is ahead of the monitor's."),
        "version": Field(TEXT, "Version of its agent."),
    }
)
_HOST = Record(
    {
        "name": Field(TEXT, "Host name."),
        "os": Field(TEXT, "Operating system: debian, alpine and so on."),
        "os_version": Field(TEXT, "Its version."),
        "kernel": Field(TEXT, "Version of the kernel."),
        "arch": Field(TEXT, "Processor: x86_64, aarch64 and so on."),
        "python": Field(TEXT, "Version of the Python that the agent runs on."),
    }
)
_SYSTEM = Record(
    {
        "host": Field(_HOST, "The machine."),
        "boot": Field(
            Record(
                {
                    "id": Field(TEXT, "Id of the present start."),
                    "at": Field(NUMBER, "Unix seconds of it."),
                    "age_s": _age("Seconds since then.", of="at"),
                    "reboot_due": Field(BOOL, "True when something installed since then takes effect at the next one."),
                }
            ),
            "Its last start.",
        ),
        "agent": Field(
            Record(
                {"version": Field(TEXT, "Its version."), "interval_s": Field(WHOLE, "Seconds between its reports.")}
            ),
            "The agent.",
        ),
    }
)
_PACKAGES = Table(
    Record(
        {
            "version": Field(TEXT, "Installed version, as the package manager writes it."),
            "arch": Field(TEXT, "What it was built for."),
            "manager": _word("What installed it.", "dpkg", "rpm", "apk"),
        }
    ),
    "name of a package",
)
_FILES = Table(
    Record(
        {
            "sha256": Field(TEXT, "SHA-256 of its content in hexadecimal digits; empty when there is no such file."),
            "size": Field(WHOLE, "Bytes."),
            "mode": Field(TEXT, "Permissions, in octal digits."),
            "owner": Field(TEXT, "User it belongs to."),
            "missing": Field(BOOL, "True when there is no such file."),
        }
    ),
    "path of a declared file",
)
_ACCOUNTS = Table(
    Record(
        {
            "uid": Field(WHOLE, "User id."),
            "gid": Field(WHOLE, "Id of its first group."),
            "home": Field(TEXT, "Home folder."),
            "shell": Field(TEXT, "Program it gets when it logs in."),
            "groups": Field(_TEXTS, "Names of its other groups."),
            "keys": Field(_TEXTS, "Fingerprints of the keys that may log in: SHA256: and so on."),
            "locked": Field(BOOL, "True when no password lets it in."),
            "managed": Field(BOOL, "True when the agent made it, because it was granted."),
        }
    ),
    "user name",
)
_SERVICES = Table(
    Record(
        {
            "state": _word("Whether it runs.", "running", "stopped", "failed"),
            "enabled": Field(BOOL, "True when it starts with the machine."),
        }
    ),
    "name of a service",
)
_PROCESSES = Listing(
    Record(
        {
            "pid": Field(WHOLE, "Process id.", key=True),
            "name": Field(TEXT, "Its name."),
            "user": Field(TEXT, "Whose it is."),
            "command": Field(TEXT, "Its command line, at most 200 characters."),
            "state": _word("What it does; to sleep is to run.", "running", "waiting", "stopped", "zombie", "other"),
            "since": Field(NUMBER, "Unix seconds of its start."),
            "age_s": _age("Seconds since then.", of="since"),
            "cpu": Field(NUMBER, "Processors it used lately: 0.5 is half of one."),
            "rss_mib": Field(NUMBER, "Memory it holds, in MiB."),
        }
    )
)
_APPLICATIONS = Table(
    Record(
        {
            "state": _word(
                "Whether it is up, down, or stopped or suspended by an order; not known while nobody can tell.",
                "up",
                "down",
                "stopped",
            ),
            "since": Field(NUMBER, "Unix seconds at which it came into that state."),
            "state_s": _age("Seconds since then.", of="since"),
            "started": Field(NUMBER, "Unix seconds at which its first process began; while it is down, as since."),
            "age_s": _age("Seconds since then.", of="started"),
            "restarts": Field(WHOLE, "How often it started again by itself, as far as the agent saw."),
            "pid": Field(WHOLE, "Id of its first process."),
            "version": Field(TEXT, "Version of its package that is installed."),
            "candidate": Field(TEXT, "Newest version of its package that the package manager offers."),
            "restart_due": Field(BOOL, "True when it runs programs or libraries that were replaced since it began."),
            "probe": Field(
                Record({"ok": Field(BOOL, "How it ended."), "error": Field(TEXT, "What was wrong.")}), "Its last probe."
            ),
        }
    ),
    "name of a declared application",
)
_MALWARE = Table(
    Record(
        {
            "signature": Field(TEXT, "Name of what it is."),
            "engine": _word("Who says so.", "hash", "yara", "clamd"),
            "sha256": Field(TEXT, "SHA-256 of its content in hexadecimal digits; not known of very large files."),
            "size": Field(WHOLE, "Bytes."),
            "mode": Field(TEXT, "Permissions, in octal digits."),
            "owner": Field(TEXT, "User it belongs to."),
            "found_at": Field(NUMBER, "Unix seconds at which it was found first."),
            "age_s": _age("Seconds since then.", of="found_at"),
        }
    ),
    "path of a bad file",
)
_LOAD = Record(
    {
        "one": Field(NUMBER, "Processes that ran or waited to, mean of one minute."),
        "five": Field(NUMBER, "Of five minutes."),
        "fifteen": Field(NUMBER, "Of fifteen."),
        "cpus": Field(WHOLE, "Processors."),
    }
)
_MEMORY = Record(
    {
        "total_mib": Field(NUMBER, "Memory in MiB."),
        "available_mib": Field(NUMBER, "Memory in MiB that programs can still have."),
        "swap_total_mib": Field(NUMBER, "Swap space in MiB."),
        "swap_used_mib": Field(NUMBER, "Swap space in use, in MiB."),
    }
)
_DISKS = Table(
    Record(
        {
            "total_mib": Field(NUMBER, "Size in MiB."),
            "used_mib": Field(NUMBER, "In use, in MiB."),
            "used_share": Field(NUMBER, "In use, as a share from 0 to 1."),
        }
    ),
    "mount point",
)
_DISK_IO = Table(
    Record(
        {
            "read_mib": Field(NUMBER, "Read since the machine started, in MiB."),
            "write_mib": Field(NUMBER, "Written since then, in MiB."),
            "reads": Field(WHOLE, "Reads since then."),
            "writes": Field(WHOLE, "Writes since then."),
        }
    ),
    "name of a device",
)
_NETWORK = Table(
    Record(
        {
            "received_mib": Field(NUMBER, "Received since the machine started, in MiB."),
            "sent_mib": Field(NUMBER, "Sent since then, in MiB."),
            "received_packets": Field(WHOLE, "Packets received since then."),
            "sent_packets": Field(WHOLE, "Packets sent since then."),
            "addresses": Field(_TEXTS, "Its addresses."),
        }
    ),
    "name of an interface",
)
_PROBES = Table(
    Record(
        {
            "ok": Field(BOOL, "Whether it was answered as it must be."),
            "error": Field(TEXT, "What was wrong; empty when nothing."),
            "at": Field(NUMBER, "Unix seconds at which it ended last."),
            "age_s": _age("Seconds since then.", of="at"),
            "since": Field(NUMBER, "Unix seconds since which it has been so."),
            "state_s": _age("Seconds since then.", of="since"),
            "address": Field(TEXT, "Address that was asked."),
            "certificate_until": Field(
                NUMBER, "Unix seconds at which the certificate ends that was shown; known of https only."
            ),
            "certificate_left_s": _left("Seconds until then; below 0 when it has ended.", of="certificate_until"),
        }
    ),
    "name of a declared probe",
)
_DECLARED = Record(
    {
        "applications": Field(
            Table(
                Record(
                    {
                        "package": Field(TEXT, "Package it is installed from; empty when none is named."),
                        "version": Field(TEXT, "Wanted version of it; empty for any."),
                        "service": Field(TEXT, "Its service; empty when none is named."),
                    }
                ),
                "name of an application",
            ),
            "Applications of the template.",
        ),
        "packages": Field(Table(TEXT, "name of a package"), "Wanted versions, of packages that have one."),
        "files": Field(_TEXTS, "Paths of the template's files."),
        "file_hashes": Field(Table(TEXT, "path"), "SHA-256 that a file must have, of files that have one."),
        "boot_timeout_s": Field(WHOLE, "Seconds that the template gives a node to boot."),
        "jobs": Field(_TEXTS, "Names of the template's jobs."),
        "probes": Field(_TEXTS, "Names of the template's probes."),
        "certificates": Field(_TEXTS, "Names of those that ask by https."),
        "accounts": Field(_TEXTS, "Patterns of the accounts that belong there; not known when the template has none."),
        "processes": Field(_TEXTS, "Patterns of the processes that belong there; likewise."),
    }
)
_VERSIONS = Table(
    Record(
        {
            "wanted": Field(TEXT, "As the template says it: 1.4, >=1.4 or newest."),
            "have": Field(TEXT, "Installed version; empty when it is not installed."),
            "target": Field(TEXT, "Version to bring it to; not known when none is known that would do."),
            "outdated": Field(
                BOOL, "True when it is not at its wanted version; not known when the two cannot be put in order."
            ),
        }
    ),
    "name of a package that has a wanted version",
)
_GRANTED = Record(
    {
        "accounts": Field(
            Table(
                Record(
                    {
                        "state": _word(
                            "How it is: as it was granted, missing, with other keys, in other groups, opened by a "
                            "password too, or one that the agent did not make.",
                            "right",
                            "missing",
                            "keys",
                            "groups",
                            "password",
                            "foreign",
                        )
                    }
                ),
                "user name",
            ),
            "Accounts that are granted on it.",
        ),
        "left": Field(_TEXTS, "Accounts that the agent made and that are granted no more."),
    }
)
_UNEXPECTED = Record(
    {
        "accounts": Field(
            _TEXTS, "Accounts that may log in and that no declared pattern covers; not known when none is declared."
        ),
        "processes": Field(_TEXTS, "Names of processes that no declared pattern covers; likewise."),
    }
)

FACTS = Record(
    {
        "appliance": Field(_APPLIANCE, "What the monitor knows of it."),
        "node": Field(_NODE, "Its machine, as the cloud reports it."),
        "report": Field(_REPORT, "How it was heard last; when it never was, no more is known than what is awaited."),
        "system": Field(_SYSTEM, "Host, last start and agent."),
        "packages": Field(_PACKAGES, "Installed packages."),
        "files": Field(_FILES, "Declared files."),
        "accounts": Field(_ACCOUNTS, "Accounts."),
        "services": Field(_SERVICES, "Services."),
        "processes": Field(_PROCESSES, "Processes."),
        "applications": Field(_APPLICATIONS, "Declared applications."),
        "malware": Field(_MALWARE, "Bad files that were found; not known before all was looked through once."),
        "load": Field(_LOAD, "How many processes want to run."),
        "memory": Field(_MEMORY, "Memory."),
        "disks": Field(_DISKS, "Disks."),
        "disk_io": Field(_DISK_IO, "What went through disks."),
        "network": Field(_NETWORK, "What went through interfaces."),
        "probes": Field(_PROBES, "How the monitor was answered over the network; not known before it asked."),
        "declared": Field(_DECLARED, "What the template says of its inside."),
        "versions": Field(_VERSIONS, "How packages with a wanted version stand."),
        "granted": Field(_GRANTED, "Accounts that are granted to people."),
        "unexpected": Field(_UNEXPECTED, "What is there and was not declared."),
    }
)
"""The whole model."""


def json_schema() -> dict[str, Any]:
    """The model as JSON Schema. No field is required: what is not known is absent, and never null."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Facts about an appliance",
        "description": "What rules speak of. What is not known is absent; a rule that needs it is unknown, not false.",
        **_of(FACTS),
    }


_WORDS = {BOOL: "boolean", WHOLE: "integer", NUMBER: "number", TEXT: "string"}


def _of(shape: Shape | None) -> dict[str, Any]:
    if isinstance(shape, Scalar):
        return {"type": _WORDS[shape]}
    if isinstance(shape, Record):
        properties = {
            name: {
                "description": field.about,
                **_of(field.shape),
                **({"enum": list(field.words)} if field.words else {}),
            }
            for name, field in shape.fields.items()
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}
    if isinstance(shape, Table):
        names = {"description": f"{shape.item[0].upper()}{shape.item[1:]}."}
        return {"type": "object", "propertyNames": names, "additionalProperties": _of(shape.of)}
    return {"type": "array", "items": _of(shape.of)} if shape is not None else {}
