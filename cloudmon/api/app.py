"""The one ASGI app: health first, later the channel, the API and its pages.

It is Starlette's and not FastAPI's: importing FastAPI takes 0.2 s and 15 MiB more (0.07 s and 16 MiB against 0.28 s and
31 MiB), in a service that shall answer 1.5 s after its command. FastAPI is made of Starlette, so routes of FastAPI are
mounted in this app as they are, when there is something for them to do.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloudmon import logs
from cloudmon.model.health import HealthView

PATIENCE_S = 2.0
"""How long the health may take to be told, in seconds, before that itself is the trouble."""


def application(health: Callable[[], HealthView], *, mask: logs.Mask | None = None) -> Starlette:
    """The app.

    ``/healthz`` answers 200 while this monitor does its work and 503 when it does not: a job is late, the store is
    away, a newer monitor has taken over, or the health cannot be told. The body says which, in either case.
    ``/livez`` answers 200 as long as the process does.

    Arguments:
        health: tells how the monitor is; called on a thread, for each request.
        mask: takes secrets out of what is shown; None knows their looks only.
    """
    shown = mask or logs.Mask()

    async def healthz(_request: Request) -> Response:
        try:
            with anyio.fail_after(PATIENCE_S):
                view = await anyio.to_thread.run_sync(health, abandon_on_cancel=True)
        except TimeoutError:
            return _json(503, {"status": "failing", "troubles": [f"Health could not be told within {PATIENCE_S:g} s."]})
        except Exception as error:
            # Whatever it is, the answer to "are you well?" is no; its words may not be fit to be shown.
            return _json(503, {"status": "failing", "troubles": [f"Health could not be told: {type(error).__name__}."]})
        return _json(503 if view.troubles else 200, shown.value(_content(view)))

    async def livez(_request: Request) -> Response:
        return _json(200, {"status": "alive"})

    return Starlette(routes=[Route("/healthz", healthz), Route("/livez", livez)])


def _content(view: HealthView) -> dict[str, Any]:
    content = dataclasses.asdict(view)
    return {"status": "failing" if view.troubles else "ok", "troubles": list(view.troubles), **_plain(content)}


def _plain(value: Any) -> Any:
    """The value as JSON has it: instants as ISO 8601 text."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _json(status: int, content: dict[str, Any]) -> Response:
    body = json.dumps(content, ensure_ascii=False).encode()
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
