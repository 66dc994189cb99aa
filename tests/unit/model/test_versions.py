"""What may be asked for as a version of a package."""

from __future__ import annotations

import pytest

from cloudmon.model import versions
from cloudmon.model.versions import Wanted, Wish


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Wanted(Wish.ANY)),
        ("1.4", Wanted(Wish.PINNED, "1.4")),
        ("1:2.3-4~rc1+b1", Wanted(Wish.PINNED, "1:2.3-4~rc1+b1")),
        (">=1.4", Wanted(Wish.LEAST, "1.4")),
        (">= 1.4", Wanted(Wish.LEAST, "1.4")),
        ("newest", Wanted(Wish.NEWEST)),
    ],
)
def test_a_version_is_pinned_least_or_newest(text: str, wanted: Wanted) -> None:
    assert versions.parse(text) == wanted


@pytest.mark.parametrize("text", [">=", ">1.4", "<2", "1.4 || 2", "1.*", "-1", "latest version", "~> 1.4"])
def test_anything_else_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match="must be a version"):
        versions.parse(text)


@pytest.mark.parametrize(("have", "pinned"), [("2.1", True), ("2.1-3", True), ("2.10", False), ("2.0", False)])
def test_a_pinned_version_need_not_name_the_packages_own_revision(have: str, pinned: bool) -> None:
    assert versions.parse("2.1").pins(have) is pinned
