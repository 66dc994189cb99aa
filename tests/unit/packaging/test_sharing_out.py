"""How tests are shared out among workers."""

from __future__ import annotations

from pathlib import Path

import sharing_out

TESTS = Path(__file__).resolve().parents[2]
ORDERED = [
    "tests/unit/store/test_a.py::test_1",
    "tests/acceptance/test_guests.py::test_1",
    "tests/acceptance/test_guests.py::test_2",
    "tests/simulation/test_laws_hold.py::test_1[seeds-0]",
    "tests/simulation/test_laws_hold.py::test_1[seeds-1]",
    "tests/unit/store/test_b.py::test_1",
]


def test_what_is_named_is_there() -> None:
    for module in sharing_out.SINGLY:
        assert (TESTS / module).is_file()
    for folder in sharing_out.LONG:
        assert (TESTS / folder).is_dir()


def test_a_module_goes_to_one_worker_unless_its_tests_are_long() -> None:
    units = [sharing_out.unit(node_id) for node_id in ORDERED]
    assert units[1] == units[2] == "tests/acceptance/test_guests.py"
    assert units[3] != units[4]


def test_what_is_long_comes_first_and_all_else_stays_in_its_order() -> None:
    places = sharing_out.places(ORDERED)
    order = [node_id for *_, node_id in sorted(zip(places, range(len(ORDERED)), ORDERED, strict=True))]
    assert sorted(order[:4]) == sorted(ORDERED[1:5])
    assert order[4:] == [ORDERED[0], ORDERED[5]]
