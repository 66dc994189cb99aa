"""The keys of the action log and of the channel: found where the settings say, or made once."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from cloudmon.errors import SettingsError
from cloudmon.settings.root import Settings

SHORTEST = 16
"""Bytes a key must have."""


def log_key_path(settings: Settings) -> Path:
    """Where the key of the action log's chains is, or will be."""
    return settings.store.log_key_file or settings.monitor.state_dir / "log.key"


def channel_key_path(settings: Settings) -> Path:
    """Where the key that agents' tokens and keys are derived from is, or will be."""
    named = settings.channel.key_file if settings.channel is not None else None
    return named or settings.monitor.state_dir / "channel.key"


def log_key(settings: Settings) -> bytes:
    """The key. When the settings name no file it is made, once, in ``monitor.state_dir``, readable by its owner alone.

    ``SettingsError`` when a named file is missing, when it cannot be read or made, or when it is too short to be a key.
    """
    is_named = settings.store.log_key_file is not None
    return _key(log_key_path(settings), "the action log", "store.log_key_file", is_named=is_named)


def channel_key(settings: Settings) -> bytes:
    """The key that agents' tokens and keys are derived from; as :func:`log_key`."""
    is_named = settings.channel is not None and settings.channel.key_file is not None
    return _key(channel_key_path(settings), "the channel", "channel.key_file", is_named=is_named)


def _key(path: Path, what: str, where: str, *, is_named: bool) -> bytes:
    try:
        if not is_named and not path.exists():
            _make(path)
        key = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(
            f"{path}: {what}'s key ({where}) cannot be had: {error.strerror or error}; "
            "run as the user who may read it, or name another file.",
            file=str(path),
            key=where,
        ) from error
    if len(key) < SHORTEST:
        raise SettingsError(
            f"{path}: is no key of {what}: {len(key)} bytes, at least {SHORTEST} are needed.", file=str(path)
        )
    return key


def _make(path: Path) -> None:
    """Write a fresh key so that it appears whole or not at all, and so that the first of two processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first, and its key counts
            os.link(draft, path)
    finally:
        draft.unlink()
