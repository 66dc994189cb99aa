"""What user data does to a node when it boots: as cloud-init does it, as far as that goes without one.

Scripts (``#!``) and ``runcmd`` run at every boot, since nothing else in a node would start what they start;
``write_files`` only at the first. Paths of files lie in the node's root; scripts find it as ``CLOUDMON_ROOT`` and begin
in it. What cannot be done is said on the console and the machine goes on, as a real one would. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cloudmon_providers.local import cloudconfig

_DONE = ("write_files", "runcmd")


def run(folder: Path, environment: Mapping[str, str], *, first: bool) -> int:
    """Do what the node's user data says; the exit code of its script or commands, 0 without any."""
    text = (folder / "user-data").read_text(encoding="utf-8")
    if text.startswith("#cloud-config"):
        return _configure(text, folder, environment, first=first)
    if text.startswith("#!"):
        return _script(text, folder, environment)
    if text.strip():
        _say("it begins neither with #! nor with #cloud-config, and is left alone")
    return 0


def _script(text: str, folder: Path, environment: Mapping[str, str]) -> int:
    """Run a script with the interpreter that its first line names."""
    path = folder / "run" / "script"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)
    # An interpreter and at most one argument, as the kernel reads the line.
    interpreter = text.partition("\n")[0].removeprefix("#!").strip().split(maxsplit=1)
    if not interpreter:
        _say("its first line names no interpreter")
        return 1
    try:
        command = [*interpreter, str(path)]
        return subprocess.run(command, cwd=folder / "root", env=dict(environment), check=False).returncode  # noqa: S603
    except OSError as error:
        _say(f"its script cannot be run: {error}")
        return 1


def _configure(text: str, folder: Path, environment: Mapping[str, str], *, first: bool) -> int:
    try:
        found = cloudconfig.read(text)
    except ValueError as error:
        _say(f"{error}; nothing of it is done")
        return 1
    for key in found:
        if key not in _DONE:
            _say(f"{key} is not done by this machine")
    files, commands = found.get("write_files") or [], found.get("runcmd") or []
    if not isinstance(files, list) or not isinstance(commands, list):
        _say("write_files and runcmd must be lists; nothing of it is done")
        return 1
    for each in files if first else ():
        try:
            _write(each, folder / "root")
        except (ValueError, OSError) as error:
            _say(f"a file is not written: {error}")
    if not commands:
        return 0
    try:
        # One script of all of them: a variable that one sets the next one has.
        return _script("#!/bin/sh\n" + "\n".join(map(_line, commands)) + "\n", folder, environment)
    except ValueError as error:
        _say(f"runcmd: {error}")
        return 1


def _line(command: object) -> str:
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    raise ValueError(f"neither a text nor a list of texts: {json.dumps(command)}")


def _write(entry: object, root: Path) -> None:
    """One entry of ``write_files``. The owner is who runs the monitor, whatever is asked for."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ValueError("it has no path")
    wanted = entry["path"]
    path = Path(os.path.normpath(f"{root}/{os.path.normpath('/' + wanted)}"))
    content = _decoded(str(entry.get("content") or ""), str(entry.get("encoding") or ""), wanted)
    mode = int(str(entry.get("permissions") or "0644"), 8)
    # A link in the image may lead to the machine that we run on.
    inside = os.path.realpath(root)
    if os.path.commonpath([inside, os.path.realpath(path)]) != inside:
        raise ValueError(f"{wanted} lies outside of the root, through a link")
    path.parent.mkdir(parents=True, exist_ok=True)
    appended = str(entry.get("append")).lower() == "true"
    with path.open("ab" if appended else "wb") as file:
        file.write(content)
    path.chmod(mode)


def _decoded(content: str, encoding: str, path: str) -> bytes:
    data = content.encode()
    words = encoding.lower().replace("+", " ").split()
    decoders: Mapping[str, Callable[[bytes], bytes]] = {
        "b64": base64.b64decode, "base64": base64.b64decode, "gz": gzip.decompress, "gzip": gzip.decompress,
    }  # fmt: skip
    try:
        for word in reversed(words):
            if word not in ("text/plain", "text"):
                data = decoders[word](data)
    except (KeyError, binascii.Error, OSError, EOFError) as error:
        raise ValueError(f"{path}: the content is not {encoding}") from error
    return data


def _say(text: str) -> None:
    sys.stdout.write(f"user data: {text}\n")
    sys.stdout.flush()
