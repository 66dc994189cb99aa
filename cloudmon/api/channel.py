"""The routes of the appliance channel, as a bare ASGI app: a framework would cost as much as everything else together.

What is answered is :mod:`cloudmon.channel`'s business; here bytes are fetched and sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cloudmon.channel.channel import Channel
from cloudmon.channel.gate import Head, Reason

BODY_S = 30.0
"""How long a body may take to come, in seconds, once its head was verified."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def application(channel: Channel) -> App:
    """The app: ``GET ca.pem``, ``GET agent.pyz``, ``POST enrol``, ``report`` and ``poll`` under ``/channel/v1/``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def body(most: int) -> bytes | Reason:
            return await _body(scope, receive, most)

        client = scope.get("client")
        head = Head(
            method=scope["method"].encode("latin-1"),
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=scope["headers"],
            peer=client[0] if client else "",
        )
        reply = await channel.answer(head, body)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    return app


async def _body(scope: Scope, receive: Receive, most: int) -> bytes | Reason:
    """The body, or why not. No more than ``most`` bytes, and one piece beyond them, are ever kept."""
    for name, value in scope["headers"]:
        # Said before it is sent: the server made sure that it is one number, but not that it is a small one.
        if name == b"content-length" and (len(value) > 12 or int(value) > most):
            return Reason.OVERSIZE
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return Reason.SLOW
                piece: bytes = message.get("body", b"")
                size += len(piece)
                if size > most:
                    return Reason.OVERSIZE
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces) if len(pieces) > 1 else piece
    except TimeoutError:
        return Reason.SLOW
