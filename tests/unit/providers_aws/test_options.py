"""The options of an AWS cloud, and what a wrong one is told."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from pydantic import ValidationError

from cloudmon_providers.aws.options import AwsOptions


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "region", id="no region"),
        pytest.param({"region": "Frankfurt"}, "region code", id="a city"),
        pytest.param({"region": "us-east-1", "access_key": "a"}, "together", id="half a pair of keys"),
        pytest.param({"region": "us-east-1", "secret_key": "a"}, "together", id="the other half"),
        pytest.param({"region": "us-east-1", "session_token": "a"}, "needs access_key", id="a session of nobody"),
        pytest.param(
            {"region": "us-east-1", "access_key": "a", "secret_key": "b", "profile": "p"}, "either", id="two sources"
        ),
        pytest.param({"region": "us-east-1", "endpoint": "127.0.0.1:5000"}, "http://host:port", id="no scheme"),
        pytest.param({"region": "us-east-1", "price_list": "{"}, "no JSON", id="a price list cut off"),
        pytest.param({"region": "us-east-1", "regoin": "x"}, "regoin", id="a misspelt key"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(given, words) -> None:
    with pytest.raises(ValidationError, match=words):
        AwsOptions.model_validate(given)


def test_the_text_of_a_price_file_is_a_price_list() -> None:
    text = '{"dated": "2026-10-01", "per_hour": {"m5.large": "0.0912"}}'
    found = AwsOptions(region="us-east-1", price_list=text).price_list  # type: ignore[arg-type]
    assert found is not None
    assert (found.dated, found.per_hour) == (dt.date(2026, 10, 1), {"m5.large": Decimal("0.0912")})
