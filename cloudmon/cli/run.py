"""``cloudmon run``: the service."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from cloudmon.cli.options import Config

AGAIN_S = 0.3
"""How long after a refusal the store is asked for once more."""


def run(config: Config = None) -> None:
    """Run the monitor until SIGTERM (or Ctrl-C), which it obeys within the drain time.

    Health is served at ``http://<monitor.health_address>:<monitor.health_port>/healthz``. The settings file is read
    again when it changes. Exit code 1 when another monitor holds the store, or took it over.
    """
    from cloudmon import logs
    from cloudmon.api import app, server
    from cloudmon.cli import channels, opening
    from cloudmon.clock import SystemClock
    from cloudmon.errors import MonitorAlreadyRuns
    from cloudmon.monitor.serving import Serving
    from cloudmon.settings import secrets_of

    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    clock = SystemClock()
    service = opening.service_of(opening.settings_path(config), clock)
    monitor = service.settings.monitor
    logs.configure(clock, form=monitor.log_format, level=monitor.log_level, secrets=secrets_of(service.settings))
    with service:
        logs.conceal(secrets_of(service.settings))  # the log's key is made with the store
        # First of all the store: a second monitor is told about the first one, not about its port.
        try:
            service.begin()
        except MonitorAlreadyRuns:
            # A command that looks whether any monitor runs takes the store for a moment; this one has come to stay.
            clock.wait(stop, AGAIN_S)
            service.begin()
        serving = Serving(service)
        listening = None
        if monitor.health_port:
            listening = server.serve(app.application(serving.health), monitor.health_address, monitor.health_port)
        try:
            with channels.served(service, serving):
                serving.run(stop)
        finally:
            if listening is not None:
                listening.stop()
