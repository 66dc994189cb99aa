"""Requests that were signed and then changed, in every place that a signature is about."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Sequence

from cloudmon.channel import gate, keys, signing, tokens
from cloudmon.channel.gate import Gate, Head, Refused
from cloudmon.channel.replays import Replays
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
KEY = b"the channel key of these tests"
UID = "abcdefghijkl"
ALPHABET = b'ABCxyz019-_+/=:;,."()@%&?# \t\r\n\x00\x7f\x80\xff'

Pairs = list[tuple[bytes, bytes]]
Request = tuple[bytes, bytes, bytes, Pairs, bytes]
"""Method, path, query, headers, body."""


def agent(ordinal: int) -> Agent:
    return Agent(ApplianceId(UID, ordinal), "default", 1, f"{ordinal:032x}", "0.1.0", NOW, serial=ordinal)


def gate_of(agents: int = 4) -> Gate:
    """A gate that knows so many agents, and has been open for an hour."""
    known = {ApplianceId(UID, ordinal): agent(ordinal) for ordinal in range(1, agents + 1)}
    return Gate(KEY, known.get, Replays(NOW.timestamp() - 3_600, -3_600.0))


def originals(rng: random.Random, agents: int = 4, now: dt.datetime = NOW) -> list[Request]:
    """Good requests of every kind by each agent, and by one who enrols."""
    at = int(now.timestamp())
    found: list[Request] = []
    for ordinal in range(1, agents + 1):
        key = keys.new(ApplianceId(UID, ordinal), 1, ordinal, now=at)
        secret = keys.secret_of(KEY, key.id)
        for path in (gate.REPORT, gate.POLL):
            body = json.dumps({"v": 1, "instance": f"{ordinal:032x}", "n": rng.random()}).encode()
            found.append(_request(path, body, secret, key.id, at, rng))
    enrolment = tokens.id_of_user_data(ApplianceId(UID, 1), 1)
    secret = tokens.secret_of(KEY, enrolment)
    found.append(_request(gate.ENROL, b'{"v":1}', secret, tokens.KEY_PREFIX + enrolment, at, rng))
    found.append(_request(gate.POLL, b"", keys.secret_of(KEY, key.id), key.id, at, rng))
    return found


def _request(path: bytes, body: bytes, secret: bytes, key_id: str, at: int, rng: random.Random) -> Request:
    nonce = f"{rng.getrandbits(128):032x}"
    headers = signing.sign_request(
        secret, key_id, method="POST", path=path.decode(), body=body, created=at, nonce=nonce
    )  # fmt: skip
    return b"POST", path, b"", headers, body


def bent(text: bytes, rng: random.Random) -> bytes:
    """The text with one thing changed; another text for sure."""
    at = rng.randrange(len(text) + 1)
    way = rng.randrange(6)
    byte = bytes([rng.choice(ALPHABET)]) if rng.random() < 0.7 else bytes([rng.randrange(256)])
    if way == 0 or not text:
        return text[:at] + byte + text[at:]
    at = min(at, len(text) - 1)
    if way == 1:
        return text[:at] + text[at + 1 :]
    if way == 2:
        return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]
    if way == 3:
        return text[:at]
    if way == 4 and text.swapcase() != text:
        return text.swapcase()
    changed = text[:at] + byte + text[at + 1 :]
    return changed if changed != text else text + byte


def mutant(request: Request, others: Sequence[Request], rng: random.Random) -> Request:
    """The request with something changed that its signature is about; a different request for sure."""
    method, path, query, headers, body = request
    headers = list(headers)
    place = rng.randrange(9)
    if place == 0:
        return bent(method, rng), path, query, headers, body
    if place == 1:
        return method, bent(path, rng), query, headers, body
    if place == 2:
        return method, path, bent(query, rng), headers, body
    if place == 3:
        return method, path, query, headers, bent(body, rng)
    at = rng.randrange(3)
    name, value = headers[at]
    if place in (4, 5, 6):
        headers[at] = (name, bent(value, rng))
    elif place == 7:
        # What another request says in the same place.
        stolen = rng.choice(others)[3][at][1]
        headers[at] = (name, stolen if stolen != value else bent(value, rng))
    elif rng.random() < 0.5:
        del headers[at]
    else:
        headers.insert(rng.randrange(4), (name, value if rng.random() < 0.5 else bent(value, rng)))
    return method, path, query, headers, body


def let_through(requests: int, rng: random.Random) -> int:
    """How many of so many mutated requests the verifier takes for anything but refused. RuntimeError when it does not
    take the ones that nobody changed."""
    gate_, good = gate_of(), originals(rng)
    passed = 0
    for turn in range(requests):
        method, path, query, headers, body = mutant(good[turn % len(good)], good, rng)
        found = gate_.verify(Head(method, path, query, headers), body, now=NOW, date=NOW.timestamp(), monotonic=0.0)
        passed += not isinstance(found, Refused)
    fresh = gate_of()
    for method, path, query, headers, body in good:
        if isinstance(
            fresh.verify(Head(method, path, query, headers), body, now=NOW, date=NOW.timestamp(), monotonic=0.0),
            Refused,
        ):
            raise RuntimeError("a request that nobody changed was refused: this measures nothing")
    return passed
