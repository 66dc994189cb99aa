"""Reports that wait, and results of commands, kept on disk within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudmon.agent.buffer import Buffer
from cloudmon.agent.clock import Clock
from cloudmon.agent.commands import MOST_KEPT, Commands
from cloudmon.agent.controls import Outcome
from cloudmon.agent.log import Log
from cloudmon.agent.place import Place, Taken
from cloudmon.agent.transport import Line, address
from cloudmon.agent.upgrade import Upgrade


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(str(tmp_path / "state"))
    yield made
    made.close()


def envelope(seq: int, kind: str = "diff", results: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"body": {"seq": seq, "kind": kind, "boot": "b", "results": [{"id": name} for name in results]}}


def seqs(buffer: Buffer) -> list[int]:
    found = []
    while (oldest := buffer.oldest()) is not None:
        found.append(oldest[1]["body"]["seq"])
        buffer.drop(oldest[0])
    return found


def test_what_waits_is_there_in_order_after_a_restart(place: Place) -> None:
    buffer = Buffer(place, Log())
    for seq in range(1, 12):
        buffer.append(envelope(seq))
    (Path(place.path) / "reports/000000000000099-diff.json.new").write_text('{"half')
    again = Buffer(place, Log())
    assert again.last_seq("b") == 11
    assert again.last_seq("another") == 0
    again.append(envelope(12))
    assert seqs(again) == list(range(1, 13))
    assert list((Path(place.path) / "reports").iterdir()) == []


def test_a_file_that_is_broken_is_left_out(place: Place) -> None:
    buffer = Buffer(place, Log())
    for seq in (1, 2, 3):
        buffer.append(envelope(seq))
    sorted((Path(place.path) / "reports").iterdir())[0].write_text("{")
    assert seqs(buffer) == [2, 3]


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        pytest.param("fdddd", [], id="nothing but differences of one"),
        pytest.param("fddfd", [4, 5], id="up to the next full one"),
        pytest.param("ddfdd", [3, 4, 5], id="differences without ground"),
        pytest.param("fffff", [2, 3, 4, 5], id="full ones only"),
    ],
)
def test_when_it_is_full_the_oldest_go_with_all_that_built_on_them(kinds: str, left: list[int], place: Place) -> None:
    buffer = Buffer(place, Log(), most_reports=5)
    for seq, kind in enumerate(kinds, 1):
        assert not buffer.too_full()
        buffer.append(envelope(seq, "full" if kind == "f" else "diff", (f"r{seq}",)))
    assert buffer.too_full()
    lost = [result["id"] for result in buffer.to_next_full(own=True)]
    assert lost == [f"r{seq}" for seq in range(1, 6) if seq not in left]
    assert buffer.results() == {f"r{seq}" for seq in left}
    assert seqs(buffer) == left


def test_bytes_are_bounded_too(place: Place) -> None:
    buffer = Buffer(place, Log(), most_bytes=300)
    buffer.append({"body": {"kind": "full", "text": "x" * 200}})
    assert not buffer.too_full()
    buffer.append({"body": {"kind": "diff", "text": "x" * 200}})
    assert buffer.too_full()


def test_the_state_directory_has_one_agent(place: Place) -> None:
    with pytest.raises(Taken):
        Place(place.path)
    assert (Path(place.path).stat().st_mode & 0o777) == 0o700


def commands(place: Place) -> Commands:
    def line() -> Line:
        return Line(address("https://127.0.0.1:1"), None, Clock())

    return Commands(place, Clock(), Log(), Upgrade(place, Clock(), Log(), line), lambda: None)


def test_results_are_kept_within_bounds_the_newest_and_those_not_delivered(place: Place) -> None:
    made = commands(place)
    made.arrive(lambda _verb, _arguments, _until: Outcome(True), set())
    for number in range(MOST_KEPT + 20):
        made._finish(f"c{number}", Outcome(True, "", 0, "done"))
        if number >= 5:
            made.delivered(found := made.results())
            assert [result["id"] for result in found][-1] == f"c{number}"
    assert len(list((Path(place.path) / "commands").iterdir())) == MOST_KEPT
    again = commands(place)
    again.arrive(lambda _verb, _arguments, _until: Outcome(True), set())
    assert not again.untold()
    again.take([{"id": f"c{MOST_KEPT + 19}", "verb": "job_run"}])
    assert [result["output"] for result in again.results()] == ["done"]


def test_results_of_a_report_that_was_thrown_away_go_with_the_next(place: Place) -> None:
    made = commands(place)
    made.arrive(lambda _verb, _arguments, _until: Outcome(True), set())
    made._finish("c1", Outcome(False, "no"))
    told = made.results()
    assert (made.results(), made.have()) == ([], ["c1"])
    made.returned(told)
    assert made.results() == told
    again = commands(place)
    again.arrive(lambda _verb, _arguments, _until: Outcome(True), {"c1"})
    assert (again.results(), again.have()) == ([], ["c1"])


@pytest.mark.parametrize("told", [None, 7, [], {}, {"id": ""}, {"id": 7}, {"verb": "report_now"}])
def test_what_has_no_id_is_no_command(told: object, place: Place) -> None:
    made = commands(place)
    made.take([told])
    made.take(told)
    assert made.have() == []
