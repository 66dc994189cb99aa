"""The image ``base``: the root of a minimal machine, as much of one as an agent looks at.

It holds no programs: those of the machine that runs the monitor are found through ``PATH``.
"""

from __future__ import annotations

from collections.abc import Mapping

DIRECTORIES = (
    "etc/cron.d",
    "home",
    "opt",
    "root",
    "run",
    "srv",
    "tmp",
    "usr/local/bin",
    "var/cache",
    "var/lib/dpkg/info",
    "var/lib/dpkg/parts",
    "var/lib/dpkg/triggers",
    "var/lib/dpkg/updates",
    "var/log",
    "var/spool",
)

_ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""

_LOCKS = """\
root:*:20000:0:99999:7:::
daemon:*:20000:0:99999:7:::
www-data:*:20000:0:99999:7:::
nobody:*:20000:0:99999:7:::
"""

_GROUPS = """\
root:x:0:
daemon:x:1:
adm:x:4:
sudo:x:27:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""

_OS_RELEASE = """\
PRETTY_NAME="cloudmon local machine 1"
NAME="cloudmon local machine"
VERSION_ID="1"
VERSION="1"
ID=cloudmon-local
ID_LIKE=debian
"""

_STATUS = """\
Package: base-files
Status: install ok installed
Priority: required
Section: admin
Installed-Size: 4
Maintainer: The cloudmon authors <nobody@localhost>
Architecture: all
Version: 1.0
Description: files that every local machine has
 Accounts, groups and an empty package database.

"""

FILES: Mapping[str, tuple[str, int]] = {
    "etc/passwd": (_ACCOUNTS, 0o644),
    "etc/shadow": (_LOCKS, 0o640),
    "etc/group": (_GROUPS, 0o644),
    "etc/shells": ("/bin/sh\n", 0o644),
    "etc/os-release": (_OS_RELEASE, 0o644),
    "etc/debian_version": ("13.0\n", 0o644),
    "var/lib/dpkg/status": (_STATUS, 0o644),
    "var/lib/dpkg/available": ("", 0o644),
    "var/lib/dpkg/info/base-files.list": ("/.\n/etc\n/etc/os-release\n/etc/debian_version\n", 0o644),
    "var/log/dpkg.log": ("", 0o644),
}
"""Text and mode by path."""
