"""Roll-outs and maintenance windows in the settings file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon.errors import CloudmonError
from cloudmon.model import specs
from cloudmon.model.sets import Peers
from cloudmon.model.updates import Updates, Window
from cloudmon.settings import load

TEXT = """
[clouds.here]
provider = "moon"
[templates.web]
images = {{ "*" = "base" }}
{template}
[sets.web]
template = "web"
count = 2
{aset}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(template: str, aset: str) -> Path:
        path = tmp_path / "cloudmon.toml"
        path.write_text(TEXT.format(template=template, aset=aset))
        return path

    return write


def test_a_roll_out_and_a_window_become_values_and_come_back_from_the_store(
    written: Callable[[str, str], Path],
) -> None:
    settings = load(
        written(
            'updates = { canary = 2, batch = 5, healthy_s = "2m", on_failure = "stop" }\n'
            'applications.shop = { package = "shop", version = ">=1.4" }',
            'maintenance = { days = ["sun", "sat"], at = "23:30", for = "2h" }',
        )
    )
    (spec,) = settings.specs()
    assert spec.template.updates == Updates(2, 5, 120, 300, "stop")
    assert spec.maintenance == Window(("sat", "sun"), 23 * 3_600 + 1_800, 7_200)
    assert specs.from_json(specs.to_json(spec)) == spec


def test_members_may_be_replaced_for_another_image(written: Callable[[str, str], Path]) -> None:
    (spec,) = load(written('updates = { method = "replace" }', "")).specs()
    assert spec.template.updates == Updates(method="replace")
    assert specs.from_json(specs.to_json(spec)) == spec
    said_nothing = specs.to_json(spec)
    del said_nothing["template"]["updates"]["method"]
    assert specs.from_json(said_nothing).template.updates == Updates()


@pytest.mark.parametrize(
    ("template", "aset", "sentence"),
    [
        ("updates = { canary = 0 }", "", "must be at least 1"),
        ("updates = { healthy_s = 1501 }", "", "1500"),
        ('updates = { on_failure = "panic" }', "", "roll-back"),
        ('updates = { method = "rebuild" }', "", "replace"),
        ('applications.shop = { package = "shop", version = "<2" }', "", "must be a version"),
        ("", 'maintenance = { at = "25:00", for = "1h" }', "must be a time of day in UTC"),
        ("", 'maintenance = { at = "02:00", for = "25h" }', "86400"),
        ("", 'maintenance = { days = ["sat", "sat"], at = "02:00", for = "1h" }', "must name each day once"),
        ("", 'maintenance = { days = ["caturday"], at = "02:00", for = "1h" }', "mon"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    written: Callable[[str, str], Path], template: str, aset: str, sentence: str
) -> None:
    with pytest.raises(CloudmonError) as refused:
        load(written(template, aset))
    assert sentence in refused.value.message


def test_members_that_know_each_other_are_declared_by_their_template(written: Callable[[str, str], Path]) -> None:
    (spec,) = load(written("peers = { ports = [5432, 80, 80], hosts = true }", "")).specs()
    assert spec.template.peers == Peers((80, 5432), True)
    assert specs.from_json(specs.to_json(spec)) == spec


def test_members_that_are_let_talk_are_declared_with_their_ports(written: Callable[[str, str], Path]) -> None:
    (spec,) = load(written("peers = { ports = [5432], firewall = true }", "")).specs()
    assert spec.template.peers == Peers((5432,), firewall=True)
    assert specs.from_json(specs.to_json(spec)) == spec
    with pytest.raises(CloudmonError) as refused:
        load(written("peers = { firewall = true }", ""))
    assert "has firewall = true and no ports that could be opened" in refused.value.message
