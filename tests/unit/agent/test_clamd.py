"""clamd, as it is asked by the agent: a stand-in that speaks its protocol unkindly, and the real one where it is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.agent.clock import Clock
from cloudmon.agent.malware import clamd


class Clamd:
    """Takes one stream after the other and answers each as it was told to; what came is in ``taken``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: Callable[[bytes], bytes] = lambda content: b"stream: OK\0"
        self.most = 1 << 30
        self.taken: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, line.makefile("rb") as told:
                if told.read(10) != b"zINSTREAM\0":
                    continue
                content = b""
                while size := struct.unpack("!L", told.read(4))[0]:
                    content += told.read(size)
                    if len(content) > self.most:
                        break
                self.taken.append(content)
                # In pieces, as a socket may have it.
                with contextlib.suppress(BrokenPipeError):
                    for byte in self.answer(content):
                        line.sendall(bytes([byte]))

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Clamd]:
    made = Clamd(tmp_path / "clamd.ctl")
    yield made
    made.close()


def ask(stand_in: Clamd, content: bytes) -> str:
    return clamd.ask(str(stand_in.path), io.BytesIO(content), len(content), Clock())


def test_it_is_handed_the_content_and_says_what_that_is(stand_in: Clamd) -> None:
    stand_in.answer = lambda content: b"stream: Win.Test.EICAR_HDB-1 FOUND\0" if b"bad" in content else b"stream: OK\0"
    assert ask(stand_in, b"good") == ""
    assert ask(stand_in, b"x" * 200_000 + b"bad") == "Win.Test.EICAR_HDB-1"
    assert [len(one) for one in stand_in.taken] == [4, 200_003]


@pytest.mark.parametrize(
    "reply",
    [b"", b"INSTREAM size limit exceeded. ERROR\0", b"stream: \xff FOUND\0", b"x" * 10_000, b"stream: a b FOUND\0"],
    ids=["nothing", "too large for it", "no name", "without an end", "two names"],
)
def test_a_reply_that_is_none_means_that_nothing_is_known(stand_in: Clamd, reply: bytes) -> None:
    stand_in.answer = lambda _: reply
    with pytest.raises(clamd.NoAnswer):
        ask(stand_in, b"content")


def test_one_that_hangs_up_in_the_middle_has_said_why(stand_in: Clamd) -> None:
    stand_in.most = 1000
    stand_in.answer = lambda _: b"INSTREAM size limit exceeded. ERROR\0"
    with pytest.raises(clamd.NoAnswer):
        ask(stand_in, b"x" * 5_000_000)


def test_one_that_says_nothing_is_not_waited_for_for_ever(stand_in: Clamd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clamd, "TIMEOUT_S", 0.2)
    done = threading.Event()

    def never(_: bytes) -> bytes:
        done.wait(10)
        return b""

    stand_in.answer = never
    with pytest.raises(clamd.NoAnswer, match="does not answer"):
        ask(stand_in, b"content")
    done.set()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        clamd.ask(str(tmp_path / "clamd.ctl"), io.BytesIO(b""), 0, Clock())


def test_a_socket_may_stand_as_deep_as_it_likes(tmp_path: Path) -> None:
    """Its address has room for a hundred characters."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    near = tmp_path / "s"
    stand_in = Clamd(near)
    near.rename(deep / "clamd.ctl")
    stand_in.path = deep / "clamd.ctl"
    assert ask(stand_in, b"content") == ""
    stand_in.close()


@given(st.binary(max_size=100))
def test_any_reply_is_a_name_or_nothing_or_no_answer(reply: bytes) -> None:
    try:
        found = clamd.parse(reply)
    except clamd.NoAnswer:
        return
    assert found.isascii()
    assert " " not in found


@pytest.mark.skipif(shutil.which("clamd") is None, reason="clamd is not installed here: asked is the stand-in only")
def test_the_real_one_is_understood(tmp_path: Path) -> None:
    """With a database of one hash, made here."""
    bad = b"a sample that is known"
    (tmp_path / "own.hsb").write_text(f"{hashlib.sha256(bad).hexdigest()}:{len(bad)}:Own.Sample:73\n")
    path = tmp_path / "clamd.ctl"
    (tmp_path / "clamd.conf").write_text(f"DatabaseDirectory {tmp_path}\nLocalSocket {path}\nForeground yes\n")
    running = subprocess.Popen(["clamd", "-c", str(tmp_path / "clamd.conf")])
    try:
        end = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end
            assert running.poll() is None
            time.sleep(0.05)
        assert clamd.ask(str(path), io.BytesIO(b"good"), 4, Clock()) == ""
        assert clamd.ask(str(path), io.BytesIO(bad), len(bad), Clock()) == "Own.Sample.UNOFFICIAL"
    finally:
        running.kill()
        running.wait()
