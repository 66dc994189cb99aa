"""Serves the appliance channel beside a running monitor: joins the two, which do not know each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cloudmon.monitor.service import Service
from cloudmon.monitor.serving import Serving


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
        yield
    finally:
        channel.close()
        listening.stop()
