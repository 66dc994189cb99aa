"""The AWS adapter keeps every law against moto's EC2, over the wire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from on_moto import EventBus

from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import ENDING, NodeRequest
from cloudmon.model.offers import Offer
from cloudmon.testing import ProviderConformance
from cloudmon_providers.aws import AwsProvider, boto
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions


def _provider(url: str, *, honours_tokens: bool, events_queue: str = "") -> AwsProvider:
    # Dummy credentials, always given: nothing of this machine's environment may ever reach a test. Pricing is off
    # because moto has none, and the real one must not be asked.
    options = AwsOptions.model_validate(
        {
            "region": "us-east-1",
            "access_key": "testing",
            "secret_key": "testing",
            "endpoint": url,
            "honours_tokens": honours_tokens,
            "instance_types": ["t3.micro", "m5.large"],
            "pricing": False,
            "events_queue": events_queue,
            "run_command": bool(events_queue),
        }
    )
    return AwsProvider("aws", options, now=lambda: dt.datetime.now(dt.UTC), timeout_s=30)


class _OnMoto(ProviderConformance):
    image = "ami-12c6146b"
    settle_s = 2
    step_s = 1

    @pytest.fixture
    def offer(self) -> Offer:
        return Offer("aws", "m5.large", "us-east-1a", 2, 8_192, 8)  # a law holds it to the real offers

    @pytest.fixture
    def pass_time(self) -> Callable[[float], None]:
        return lambda _: None  # moto's machines change at the next look


class TestAws(_OnMoto):
    """With client tokens, as in production."""

    column = "aws"

    @pytest.fixture
    def provider(self, moto_ec2_with_tokens: str, event_bus: EventBus) -> Iterator[AwsProvider]:
        self._bus = event_bus
        provider = _provider(moto_ec2_with_tokens, honours_tokens=True, events_queue=event_bus.queue)
        yield provider
        provider.reset()

    def tell(self, node_id: str, word: str) -> None:
        self._bus.tell(node_id, word)


@pytest.fixture
def on_moto(moto_ec2_with_tokens: str) -> Iterator[AwsProvider]:
    provider = _provider(moto_ec2_with_tokens, honours_tokens=True)
    yield provider
    provider.reset()


def test_spot_is_offered_bought_and_ended_as_any_other(on_moto: AwsProvider, moto_ec2_with_tokens: str) -> None:
    key = "aws/us-east-1a/m5.large/spot"
    (offer,) = (offer for offer in on_moto.list_offers() if offer.key == key)
    assert offer.price is not None
    assert (offer.price.source, offer.price.currency) == ("aws-spot", "USD")
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
    tags = ownership_tags(token, set_name="web", tenant="default")
    request = NodeRequest(str(token), "web-1", offer, _OnMoto.image, tags)
    made = on_moto.create_node(request)
    assert on_moto.create_node(request).id == made.id
    client = boto.client("ec2", "us-east-1", Credentials("a", "b", None), endpoint=moto_ec2_with_tokens, timeout_s=30)
    (reservation,) = client.describe_instances(InstanceIds=[made.id])["Reservations"]
    assert reservation["Instances"][0]["InstanceLifecycle"] == "spot"
    assert [(node.id, node.token) for node in on_moto.list_nodes().nodes] == [(made.id, str(token))]
    on_moto.destroy_node(made.id)
    assert on_moto.get_node(made.id).state in ENDING


class TestAwsWithoutTokens(_OnMoto):
    """moto as it is ignores client tokens, as other imitations of EC2 do: the adapter looks for the token's tag."""

    @pytest.fixture
    def provider(self, moto_ec2: str) -> Iterator[AwsProvider]:
        provider = _provider(moto_ec2, honours_tokens=False)
        yield provider
        provider.reset()

    def test_a_listing_of_several_pages_is_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pages of five, since a thousand instances are too many for moto."""
        monkeypatch.setattr("cloudmon_providers.aws.provider.PAGE", 5)
        made = {self.create(self.a_request(ordinal)).id for ordinal in range(1, 13)}
        assert set(self.listed()) == made
