"""User data that brings the agent into a machine: what cloud-init, or anything else that runs a script at boot, is
given.

Pure: the same incarnation always gets the same text, since a cloud refuses the same token with other parameters. So
nothing in it depends on the agent's version or on the time: the machine fetches the agent from the monitor, whose
certificate authority the token names.
"""

from __future__ import annotations

import base64
from importlib import resources

MOST_BYTES = 16 * 1024
"""EC2's limit; other clouds allow more."""

_BOUNDARY = "==cloudmon-user-data=="


def render(own: str, *, token: str, url: str, interval_s: int) -> str:
    """The user data of one incarnation.

    Arguments:
        own: the template's user data, its placeholders replaced; may be empty, a script that begins with ``#!``, or
            ``#cloud-config``.
        token: the incarnation's enrolment token.
        url: where the monitor's channel is.
        interval_s: between two reports, in seconds.

    Raises ValueError for user data that is neither a script nor cloud-config, and for more than :data:`MOST_BYTES`.
    """
    script = bootstrap(token=token, url=url, interval_s=interval_s)
    if not own.strip():
        text = script
    elif own.startswith("#!"):
        text = _after(own, script)
    elif own.startswith("#cloud-config"):
        text = _multipart(own, script)
    else:
        raise ValueError("user data must begin with #! or #cloud-config to have the agent brought along")
    size = len(text.encode())
    if size > MOST_BYTES:
        raise ValueError(f"user data comes to {size:,} bytes with the agent's part; clouds take {MOST_BYTES:,}")
    return text


def bootstrap(*, token: str, url: str, interval_s: int) -> str:
    """The script alone: fetches the agent and has it started now and at every boot. Running it again does no harm."""
    text = (resources.files("cloudmon") / "channel" / "bootstrap.sh").read_text(encoding="utf-8")
    return text.replace("@TOKEN@", token).replace("@URL@", url).replace("@INTERVAL@", str(interval_s))


def _after(own: str, script: str) -> str:
    """The template's script first, whatever it is written in, then ours; ours runs even when theirs fails."""
    packed = base64.encodebytes(own.encode()).decode("ascii")
    first, rest = script.split("\n", 1)
    return (
        f"{first}\n"
        "own=$(mktemp)\n"
        f"base64 -d >\"$own\" <<'OWN'\n{packed}OWN\n"
        'chmod 700 "$own"\n'
        '"$own" || echo "the template\'s own user data ended with $?" >&2\n'
        'rm -f "$own"\n'
        f"{rest}"
    )


def _multipart(own: str, script: str) -> str:
    """Both parts as cloud-init takes them."""
    parts = (("text/cloud-config", own), ("text/x-shellscript", script))
    lines = [f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"', "MIME-Version: 1.0", ""]
    for kind, text in parts:
        lines += [f"--{_BOUNDARY}", f'Content-Type: {kind}; charset="utf-8"', "", text.rstrip("\n"), ""]
    return "\n".join([*lines, f"--{_BOUNDARY}--", ""])
