"""Serves the appliance channel beside a running monitor: joins the two, which do not know each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudmon.monitor.service import Service
from cloudmon.monitor.serving import Serving

if TYPE_CHECKING:
    from cloudmon.api.server import Server
    from cloudmon.channel.channel import Channel
    from cloudmon.provider import Simulated

LOOK_S = 1.0
"""Seconds between two looks at the machines whose insides are played."""

LATE_S = 60.0

LEAVE_S = 1.0
"""How long the end waits for guests that speak."""


@contextlib.contextmanager
def served(service: Service, serving: Serving) -> Iterator[None]:
    """The channel, as long as the block lasts; nothing where the settings have none.

    The service has begun: what the channel writes is written under its monitor's ownership. SettingsError when the
    address cannot be had or the channel's key or certificate cannot be used.
    """
    settings = service.settings.channel
    if settings is None:
        yield
        return
    from cloudmon.api import channel as routes
    from cloudmon.api import server
    from cloudmon.channel import shipping
    from cloudmon.channel.authority import open_authority
    from cloudmon.channel.channel import Channel
    from cloudmon.settings import channel_key

    authority = None
    if settings.tls == "own":
        folder = service.settings.monitor.state_dir / "channel"
        authority = open_authority(folder, settings.hosts, service.clock.now())
    channel = Channel(
        service.store,
        lambda: service.monitor.owner,
        service.clock,
        settings,
        channel_key(service.settings),
        authority,
        serving.heard,
        agent=shipping.build,
        looks_for=lambda: service.settings.malware,
    )
    service.attach(channel)
    tls = authority.context() if authority is not None else None
    listening = server.serve_channel(routes.application(channel), settings.address, settings.port, tls)
    try:
        with _played(service, serving, channel, listening):
            yield
    finally:
        channel.close()
        listening.stop()


@contextlib.contextmanager
def _played(service: Service, serving: Serving, channel: Channel, listening: Server) -> Iterator[None]:
    """The insides of simulated machines, beside the channel that they speak to; nothing where no cloud wants any."""
    played = service.settings.played()
    if not played:
        yield
        return
    from cloudmon.testing.guests.bells import Bells
    from cloudmon.testing.guests.exchange import Exchange
    from cloudmon.testing.guests.inn import Inn
    from cloudmon.testing.guests.staff import Staff

    clouds = {cloud: _simulated(service, cloud) for cloud in played}
    inn = Inn(clouds, Exchange(lambda: channel, listening.loop))
    staff = Staff(inn, service.clock)
    service.attach(Bells(channel, inn, service.clock))
    serving.beside("guests", LOOK_S, staff.look, late_after_s=LATE_S)
    staff.begin()
    try:
        yield
    finally:
        staff.end(LEAVE_S)


def _simulated(service: Service, cloud: str) -> Simulated:
    """A provider of a cloud past its pace: nothing that is asked of it here is a call."""
    from cloudmon import plugins
    from cloudmon.errors import SettingsError
    from cloudmon.provider import Simulated

    settings = service.settings
    name = settings.clouds[cloud].provider
    factory = plugins.provider(name)
    found = factory(cloud, settings.options(cloud), now=service.clock.now, timeout_s=settings.monitor.call_timeout_s)
    if not isinstance(found, Simulated):
        raise SettingsError(f"clouds.{cloud}.options.guests cannot be used: {name} simulates no machines")
    return found
