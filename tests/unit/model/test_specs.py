"""Set specs as JSON and back lose nothing, and take nothing that they do not know."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.model import specs
from cloudmon.model.sets import Application, Healing, Job, Lease, Needs, SetSpec, Template

words = st.text(max_size=8)
seconds = st.integers(0, 10**9)
instants = st.datetimes(timezones=st.just(dt.UTC))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=3).map(tuple)


needs = st.builds(
    Needs,
    max_price_per_hour=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    sizes=tuples(words),
    locations=tuples(words),
)
applications = st.builds(
    Application, start=tuples(words), stop=tuples(words), probe=st.dictionaries(words, json_values, max_size=2)
)
templates = st.builds(
    Template,
    images=st.dictionaries(words, words, max_size=3),
    needs=needs,
    options=st.dictionaries(words, st.dictionaries(words, json_values, max_size=3), max_size=2),
    applications=st.dictionaries(words, applications, max_size=2),
    files=tuples(words),
    jobs=st.dictionaries(words, st.builds(Job, tuples(words), seconds), max_size=2),
    file_hashes=st.dictionaries(words, words, max_size=2),
    accounts=st.none() | tuples(words),
    processes=st.none() | tuples(words),
)
leases = st.builds(Lease, start=st.none() | instants, end=st.none() | instants, warn_s=tuples(seconds))
sets = st.builds(
    SetSpec,
    template=templates,
    clouds=tuples(words),
    lease=leases,
    healing=st.builds(Healing, ladder=tuples(words)),
)

PLAIN = SetSpec("storefront", 3, Template("web", {"*": "i"}))


@given(sets)
def test_a_spec_comes_back_as_it_went(spec: SetSpec) -> None:
    assert specs.from_json(json.loads(json.dumps(specs.to_json(spec)))) == spec


def test_money_is_text_and_instants_are_iso() -> None:
    template = Template("web", {}, Needs(max_price_per_hour=Decimal("0.10")))
    end = dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    found = specs.to_json(SetSpec("s", 1, template, lease=Lease(end=end)))
    assert found["template"]["needs"]["max_price_per_hour"] == "0.10"
    assert found["lease"]["end"] == "2025-12-31T23:00:00+00:00"


def test_fields_that_older_json_lacks_get_their_defaults() -> None:
    old = {"name": "storefront", "count": 3, "template": {"name": "web", "images": {"*": "i"}}}
    assert specs.from_json(old) == PLAIN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "set has no field 'colour'"),
        ({"healing": {"courage": 1}}, "healing has no field 'courage'"),
        ({"template": {"name": "web"}}, "template"),
        ({"template": "web"}, "template is no JSON object"),
        ({"lease": {"end": "soon"}}, "soon"),
        ({"template": {"name": "w", "images": {}, "needs": {"max_price_per_hour": "much"}}}, "needs"),
        ({"clouds": None}, "set"),
        ({"template": {"name": "w", "images": {}, "applications": {"a": {"spirit": 1}}}}, "application has no field"),
        ({"template": {"name": "w", "images": {}, "jobs": []}}, "jobs is no JSON object"),
        ({"template": {"name": "w", "images": {}, "jobs": {"j": {}}}}, "job"),
    ],
    ids=[
        "unknown",
        "unknown below",
        "missing",
        "no object",
        "no instant",
        "no number",
        "no list",
        "no application",
        "no jobs",
        "no job",
    ],
)
def test_json_of_no_spec_is_refused_with_the_field(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        specs.from_json({**specs.to_json(PLAIN), **change})
