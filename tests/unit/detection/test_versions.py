"""Which version is newer is what the package manager says, and unknown where it says nothing."""

from __future__ import annotations

import pytest

from cloudmon.detection import versions
from cloudmon.model.versions import parse


@pytest.mark.parametrize(
    ("one", "other", "keeper", "older"),
    [
        ("1.9", "1.10", "dpkg", True),
        ("1.10", "1.9", "dpkg", False),
        ("1.0~rc1", "1.0", "dpkg", True),
        ("2.0", "1:1.0", "dpkg", True),
        ("1.0-1", "1.0-1+deb12u1", "dpkg", True),
        ("5.14.0-70.el9", "5.14.0-362.el9", "rpm", True),
        ("2:9.0-1", "10.0-1", "rpm", False),
        ("1.2.3-r9", "1.2.3-r10", "apk", True),
        ("1.2_alpha1", "1.2", "apk", True),
        ("1.0", "1.0", "anything", False),
        ("abc", "1.0", "dpkg", None),
        ("1.0", "no version", "apk", None),
        ("1.0", "2.0", "pip", None),
        ("", "2.0", "dpkg", None),
        ("1" * 200, "2.0", "dpkg", None),
    ],
)
def test_versions_are_ordered_as_their_manager_orders_them(
    one: str, other: str, keeper: str, older: bool | None
) -> None:
    assert versions.older(one, other, keeper) is older


@pytest.mark.parametrize(
    ("wanted", "have", "candidate", "outdated", "target"),
    [
        ("", "1.0", "2.0", False, "2.0"),
        ("1.0", "1.0-3", "2.0", False, "1.0"),
        ("1.0", "2.0", "2.0", True, "1.0"),
        ("2.0", "1.0", "2.0-4", True, "2.0-4"),
        (">=1.5", "1.4", "2.0", True, "2.0"),
        (">=1.5", "1.4", "1.4", True, ""),
        (">=1.5", "1.4", "", True, ""),
        (">=1.5", "1.5", "", False, ""),
        (">=1.5", "odd", "2.0", None, "2.0"),
        ("newest", "1.0", "2.0", True, "2.0"),
        ("newest", "2.0", "2.0", False, "2.0"),
        ("newest", "2.1", "2.0", False, "2.0"),
        ("newest", "1.0", "", None, ""),
        ("newest", "", "2.0", None, "2.0"),
    ],
)
def test_what_is_outdated_and_what_it_is_brought_to(
    wanted: str, have: str, candidate: str, outdated: bool | None, target: str
) -> None:
    said = parse(wanted)
    assert versions.outdated(said, have, candidate, "dpkg") is outdated
    assert versions.target(said, candidate, "dpkg") == target
