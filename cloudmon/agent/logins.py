"""Public keys that open an account: how they are read, and how they come into ``~/.ssh``.

A home belongs to its user, who may put a link wherever we write. So every step is taken from a folder that is held
open, no link is followed, and what stands in the way of a folder is taken away.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import stat

from .rooted import Root

KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
HEADER = "# kept by cloudmon: what is added here is taken out again\n"
FILE, FOLDER = "authorized_keys", ".ssh"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def keys(text: str) -> list[str]:
    """One key a line, without options before it. ValueError, as a sentence, for anything else."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 2)
        if not words:
            continue
        if len(words) < 2 or words[0] not in KINDS or not line.isprintable():
            raise ValueError("a key must be as ssh-keygen writes it: its kind, the key, a comment")
        try:
            raw = base64.b64decode(words[1], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"the {words[0]} key is no base64") from None
        kind = words[0].encode()
        # A key says its own kind first, with its length before it.
        if len(raw) <= 4 + len(kind) or raw[:4] != len(kind).to_bytes(4, "big") or raw[4 : 4 + len(kind)] != kind:
            raise ValueError(f"the {words[0]} key says that it is of another kind")
        found.append(" ".join(words))
    if not found:
        raise ValueError("there is no key in it")
    return found


def folder(root: Root, path: str) -> int:
    """A folder of the appliance, held open. OSError when any part of the way is a link, or no folder."""
    at = os.open(root.path or "/", _FOLDER)
    for part in filter(None, path.split("/")):
        try:
            below = os.open(part, _FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def write(home: int, lines: list[str], owner: tuple[int, int] | None) -> None:
    """Let exactly these keys open the account whose home is held open; ``owner`` None: it stays with who writes."""
    text = "".join([HEADER, *(f"{line}\n" for line in lines)]).encode()
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(FOLDER, dir_fd=home, follow_symlinks=False).st_mode):
            os.unlink(FOLDER, dir_fd=home)
    with contextlib.suppress(FileExistsError):
        os.mkdir(FOLDER, 0o700, dir_fd=home)
    inside = os.open(FOLDER, _FOLDER, dir_fd=home)
    try:
        if owner is not None:
            os.fchown(inside, *owner)
        os.fchmod(inside, 0o700)
        new = f".{FILE}.{secrets.token_hex(8)}"
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=inside)
        with os.fdopen(number, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, FILE, src_dir_fd=inside, dst_dir_fd=inside)
    finally:
        os.close(inside)


def take_away(root: Root, home: str) -> None:
    """Let no key open it. Quiet when there is none; OSError when there may still be one."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        inside = folder(root, f"{home}/{FOLDER}")
        try:
            os.unlink(FILE, dir_fd=inside)
        finally:
            os.close(inside)
