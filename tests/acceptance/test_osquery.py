"""An osquery host as a monitored appliance, from its token to its revocation: the real service, real TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from osqueryd import Osqueryd
from served import Estate, until

from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE

CHANNEL = """
[channel]
port = {port}
osquery = true
[templates.web.applications.shop]
match = "/opt/shop"
[templates.web]
report_interval_s = 1
images = {{ "*" = "web-1" }}
[templates.web.jobs.backup]
argv = ["/bin/true"]
[[policies]]
name = "ours"
[[policies.rules]]
name = "fallen"
when = "applications['shop'].state == 'down'"
"""


def settings(estate: Estate, port: int) -> str:
    """The usual ones, with a channel for osquery hosts."""
    estate.settings(estate.cloud(), estate.set("storefront", 1))
    head, _, rest = estate.path.read_text().partition("[templates.web]")
    return head + CHANNEL.format(port=port) + rest.partition('{ "*" = "web-1" }')[2]


class Living:
    """A host that lives on a thread of its own until it is ended."""

    def __init__(self, url: str, secret: str, trusted: ssl.SSLContext) -> None:
        self.end = threading.Event()
        self.host = Osqueryd(secret, self.send, time.time)
        self._url = url
        self._trusted = trusted

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            answer = await self._client.post(self._url + path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        return answer.status_code, answer.content

    async def live(self) -> None:
        async with httpx.AsyncClient(verify=self._trusted, trust_env=False) as self._client:
            while not self.end.is_set():
                await self.host.talk()
                await asyncio.sleep(0.3)


@contextmanager
def living(url: str, secret: str, trusted: ssl.SSLContext) -> Iterator[Osqueryd]:
    life = Living(url, secret, trusted)
    thread = threading.Thread(target=lambda: asyncio.run(life.live()))
    thread.start()
    try:
        yield life.host
    finally:
        life.end.set()
        thread.join()


def test_a_host_with_osquery_is_monitored_without_an_agent(tmp_path: Path) -> None:
    """Its token, what it says, a rule that fires, a command, its end."""
    estate = Estate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    estate.write(settings(estate, port))
    with estate.running():
        until(lambda: estate.runs("storefront", 1), "the appliance runs")
        trusted = ssl.create_default_context(cafile=str(tmp_path / "state" / "channel" / "ca.pem"))
        token = estate.cli("agent", "token", "storefront/1", "--reason", "it has osquery").stdout.split()[-1]
        with living(f"https://127.0.0.1:{port}", token, trusted) as host, estate.store() as store:
            (member,) = store.members.of_set(EVERYONE, estate.members("storefront")[0].set_uid)
            appliance = ApplianceId(member.set_uid, member.ordinal)

            def told(section: str) -> object:
                state = store.reports.state(EVERYONE, appliance)
                return None if state is None else state.sections.get(section)

            until(lambda: told("applications") is not None and told("packages") is not None, "it is heard")

            # What it runs falls, and is found.
            host.tables["processes"] = host.tables["processes"][:1]

            def found() -> list[str]:
                open_now = store.findings.open(EVERYONE)
                return [one.subject for one in open_now if one.kind is FindingKind.DETECTED]

            until(lambda: any("ours/fallen" in subject for subject in found()), "the rule fires")

            done = estate.cli("act", "storefront/1", "report_now", "--reason", "to see")
            assert "done" in done.stdout + done.stderr

            estate.cli("agent", "revoke", "storefront/1", "--reason", "it goes")
            until(lambda: not host.database.get("node_key"), "it is refused")
    assert token not in estate.log.read_text()
    assert "cmo1." not in estate.log.read_text()
