"""The first word with the monitor: a token is turned into a key."""

from __future__ import annotations

from typing import Any, Callable

from . import version
from .keys import Keys
from .speaking import Speaker, Trouble
from .tokens import Token


def enrol(speaker: Speaker, keys: Keys, token: Token, boot: str, configure: Callable[[dict[str, Any]], None]) -> float:
    """Ask for a key; the interval that the monitor names, 0 when it names none.

    The same agent may ask again, since the answer can get lost. Raises what asking raises.
    """
    message = {"v": 1, "instance": keys.instance, "version": version.VERSION, "boot": boot}
    answer = speaker.ask("/channel/v1/enrol", message, key=token.key)
    try:
        keys.take(answer.get("key"))
        if isinstance(answer.get("config"), dict):
            configure(answer["config"])
    except ValueError as wrong:
        raise Trouble(f"the monitor's answer to the enrolment is of no use: {wrong}") from wrong
    interval_s = answer.get("interval_s")
    return float(interval_s) if isinstance(interval_s, (int, float)) and interval_s > 0 else 0.0
