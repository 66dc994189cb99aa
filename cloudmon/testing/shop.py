"""The demo's second estate: a shop on a machine of this one, with the agent inside, and what is done to it."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from cloudmon.testing.stage import Broken, Stage, free_port

SETTINGS = """\
author = "file:shop"
[store]
url = "sqlite:///{folder}/cloudmon.db"
[monitor]
state_dir = "{folder}/state"
poll_interval_s = 0.5
health_port = {port}
[channel]
port = {channel}
[clouds.here]
provider = "local"
listing_lag_s = 0
[clouds.here.options]
directory = "{folder}/cloud"
stop_grace_s = 0.5
sizes = {{ small = {{ memory_mib = 512 }} }}
[templates.shop]
images = {{ here = "base" }}
agent = true
report_interval_s = 1
accounts = ["root"]
user_data = '''
#!/bin/sh
set -eu
root="${{CLOUDMON_ROOT:-}}"
mkdir -p "$root/srv/shop" "$root/usr/local/bin" "$root/var/cache/shop"
echo "open" > "$root/srv/shop/index.html"
echo 16 > "$root/etc/cloudmon-quota-mib"
cat > "$root/usr/local/bin/shop" <<'END'
#!/bin/sh
exec python3 -m http.server --bind 127.0.0.1 --directory "$CLOUDMON_ROOT/srv/shop" {site}
END
cat > "$root/usr/local/bin/tidy" <<'END'
#!/bin/sh
rm -rf "$CLOUDMON_ROOT"/var/cache/shop/*
END
chmod 755 "$root/usr/local/bin/shop" "$root/usr/local/bin/tidy"
'''
[templates.shop.applications.shop]
start = ["/usr/local/bin/shop"]
match = "/srv/shop"
[templates.shop.jobs.tidy]
argv = ["/usr/local/bin/tidy"]
[[policies]]
name = "built-in"
rules = [
  {{ name = "application-down", for = "1s" }},
  {{ name = "disk-nearly-full", for = "1s", n_of_m = "1 of 1", then = [{{ verb = "job_run", job = "tidy" }}] }},
  {{ name = "stray-account", then = ["account_revoke"] }},
]
[sets.shop]
template = "shop"
count = 1
"""


class Shop(Stage):
    """A web server on a real machine, which is a directory and processes of this one."""

    def __init__(self, folder: Path, proved: list[str]) -> None:
        super().__init__(folder, proved)
        self.site = free_port()
        self.write(SETTINGS.format(folder=folder, port=self.port, channel=free_port(), site=self.site))

    def open(self) -> None:
        """Start the service; it launches the machine, which brings the agent in."""
        self.serve()

    def close(self) -> None:
        """End the service, and the machine with all that runs in it."""
        self.end(signal.SIGKILL)
        for number in self._inside():
            os.kill(number, signal.SIGKILL)

    @property
    def root(self) -> Path:
        """What the appliance takes for the root of its file system."""
        for found in (self.folder / "cloud" / "nodes").glob("*/root"):
            return found
        raise Broken("no machine is there")

    def serves(self) -> bool:
        """Whether its web server answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.site}/", timeout=2) as answer:
                return bool(answer.read() == b"open\n")
        except OSError:
            return False

    def told(self, *parts: str) -> bool:
        """Whether the story of the appliance has these, one after the other."""
        story = self.run("why", "shop/1")
        at = 0
        for part in parts:
            at = story.find(part, at)
            if at < 0:
                return False
        return True

    def kill(self) -> None:
        """Kill the web server as a fault would."""
        for number in self._inside(b"http.server"):
            os.kill(number, signal.SIGKILL)

    def _inside(self, word: bytes = b"") -> list[int]:
        """Processes that belong to the machine, those whose command line has the word."""
        place = os.fsencode(f"{self.folder / 'cloud'}/")
        found = []
        for entry in Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes()
                if entry.name.isdecimal() and word in line and place in line + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return [number for number in found if number != os.getpid()]


def crashed(shop: Shop) -> None:
    shop.until("the shop serves and its agent speaks", lambda: shop.serves() and bool(shop.rows("facts", "shop/1")))
    shop.kill()
    shop.until("it serves again", shop.serves)
    shop.until("why tells it", lambda: shop.told("shop is down", "app_restart", "app_restart accepted by its agent"))
    shop.check(
        True, "on a real machine, with an agent inside: a web server that was killed was found down and started again"
    )


def filled(shop: Shop) -> None:
    junk = shop.root / "var/cache/shop/junk"
    junk.write_bytes(b"\0" * (15 << 20))
    shop.until("its disk is tidied", lambda: not junk.exists())
    shop.until("why tells it", lambda: shop.told("is nearly full", "job_run", "job_run done"))
    shop.check(True, "a disk that filled was tidied by a job that its rule names")


def strayed(shop: Shop) -> None:
    passwd = shop.root / "etc/passwd"
    with passwd.open("a") as file:
        file.write("mallory:x:1666:1666::/home/mallory:/bin/sh\n")
    shop.until("the account is gone", lambda: "mallory" not in passwd.read_text())
    # The words themselves: a command that fails shows no rows either.
    shop.until("nothing is wrong any more", lambda: shop.run("findings", "-o", "json").strip() == "[]")
    shop.check(shop.told("mallory", "account_revoke"), "an account that does not belong there was found and taken away")


SCENES: Mapping[str, Callable[[Shop], None]] = {
    "put a crashed application right": crashed,
    "put a full disk right": filled,
    "put a stray account right": strayed,
}
