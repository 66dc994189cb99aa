"""Node keys: what an osquery host shows with each request. Derived like all keys, so that none is stored. Pure.

A bearer of one is believed, since osquery signs nothing: it travels within TLS only, is good for a day, and is of no
use on the paths of agents, nor is an agent's key here.
"""

from __future__ import annotations

import hmac
import re

from cloudmon.channel import keys
from cloudmon.channel.keys import Key

PREFIX = "cmo1."

LONGEST = 200
"""Characters of one, at most."""

_FORM = re.compile(rf"cmo1\.(k\.{keys.UID}(?:\.{keys.NUMBER}){{3}}\.[0-9]{{1,12}})\.([A-Za-z0-9_-]{{43}})", re.ASCII)


def text(channel_key: bytes, key: Key) -> str:
    """The node key as it is handed out. A secret."""
    return f"{PREFIX}{key.id}.{_secret(channel_key, key.id)}"


def holder(channel_key: bytes, node_key: str) -> Key | None:
    """Whose node key this is; None when it is none of ours. Whether it is still good the key's own words say."""
    found = _FORM.fullmatch(node_key)
    key = None if found is None else keys.parse(found[1])
    if found is None or key is None:
        return None
    secret = found.groups()[-1]
    return key if hmac.compare_digest(secret, _secret(channel_key, key.id)) else None


def _secret(channel_key: bytes, key_id: str) -> str:
    return keys.shown(hmac.digest(channel_key, b"node|" + key_id.encode("ascii"), "sha256"))
