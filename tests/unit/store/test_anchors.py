"""The anchor file: append-only, torn lines ignored, compacted without losing evidence, never in the way."""

from __future__ import annotations

from pathlib import Path

from cloudmon.store.anchors import FILE, Anchor, Anchors
from cloudmon.store.chain import Head

KEY = b"key"


def heads(anchors: Anchors) -> list[tuple[str, int]]:
    return [(anchor.chain, anchor.head.seq) for anchor in anchors.read().anchors]


def test_what_was_written_is_read_in_its_order(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "made" / "when needed", KEY)
    assert anchors.read().anchors == ()
    anchors.write({"a": Head(1, "m1"), "b": Head(4, "m2")})
    anchors.write({"a": Head(2, "m3")})
    assert anchors.read().anchors == (
        Anchor("a", Head(1, "m1")),
        Anchor("b", Head(4, "m2")),
        Anchor("a", Head(2, "m3")),
    )


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    Anchors(tmp_path, KEY).write({"a": Head(1, "m")})
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_is_ignored_and_does_not_harm_the_next(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, KEY)
    anchors.write({"a": Head(1, "m1")})
    whole = (tmp_path / FILE).read_bytes()
    anchors.write({"a": Head(2, "m2")})
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-5])
    assert heads(anchors) == [("a", 1)]
    assert anchors.read().damaged == ()
    anchors.write({"a": Head(3, "m3")})
    assert heads(anchors) == [("a", 1), ("a", 3)]
    assert anchors.read().damaged == ()
    assert (tmp_path / FILE).read_bytes().startswith(whole)


def test_a_file_that_is_one_torn_line_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"12 ab")
    anchors = Anchors(tmp_path, KEY)
    anchors.write({"a": Head(1, "m1")})
    assert heads(anchors) == [("a", 1)]


def test_lines_of_another_key_are_not_trusted(tmp_path: Path) -> None:
    Anchors(tmp_path, b"other").write({"a": Head(1, "m1")})
    found = Anchors(tmp_path, KEY).read()
    assert found.anchors == ()
    assert found.damaged == (1,)


def test_a_large_file_shrinks_to_the_last_line_of_each_chain(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, KEY, compact_bytes=2_000)
    for seq in range(1, 200):
        anchors.write({"a": Head(seq, f"a{seq}"), "b": Head(seq, f"b{seq}")})
        last = dict(heads(anchors))
        assert last == {"a": seq, "b": seq}
    assert (tmp_path / FILE).stat().st_size < 4_500
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_file_of_many_chains_is_not_compacted_each_time(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, KEY, compact_bytes=100)
    anchors.write({f"chain-{number}": Head(1, "m") for number in range(50)})
    before = (tmp_path / FILE).stat().st_ino
    anchors.write({"chain-1": Head(2, "m")})
    assert (tmp_path / FILE).stat().st_ino == before


def test_compaction_keeps_the_evidence_of_a_chain_that_went_back(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, KEY, compact_bytes=1)
    path = tmp_path / FILE
    for seq in (1, 2, 60):
        anchors.write({"a": Head(seq, f"old{seq}")})
    anchors._compact_bytes = 1
    anchors.write({"a": Head(41, "new41")})
    assert heads(anchors) == [("a", 60), ("a", 41)]
    assert path.exists()


def test_a_damaged_file_is_left_as_it_is(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path, KEY, compact_bytes=1)
    (tmp_path / FILE).write_bytes(b"forged\n")
    for seq in range(1, 50):
        anchors.write({"a": Head(seq, "m")})
    found = anchors.read()
    assert found.damaged == (1,)
    assert len(found.anchors) == 49


def test_a_file_that_cannot_be_written_is_no_error_and_is_caught_up_later(tmp_path: Path) -> None:
    blocked = tmp_path / "anchors"
    blocked.write_text("a file where the folder should be")
    anchors = Anchors(blocked, KEY)
    anchors.write({"a": Head(1, "m1"), "b": Head(1, "m2")})
    assert str(blocked) in anchors.trouble
    blocked.unlink()
    anchors.write({"a": Head(2, "m3")})
    assert anchors.trouble == ""
    assert dict(heads(anchors)) == {"a": 2, "b": 1}
