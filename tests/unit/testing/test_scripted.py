"""The scripted provider is a small cloud until it is told otherwise, and remembers what it was asked."""

from __future__ import annotations

import uuid

import pytest

from cloudmon.errors import NotFound, RateLimited, Unsupported
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest, NodeState
from cloudmon.model.offers import Offer
from cloudmon.provider import Provider, abilities
from cloudmon.testing import FakeClock, ScriptedProvider

TOKEN = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
OFFER = Offer("east", "small", "here", 1, 1024, 10)
REQUEST = NodeRequest(str(TOKEN), "web-1", OFFER, "img", ownership_tags(TOKEN, set_name="web", tenant="default"))


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(now=FakeClock().now, offers=[OFFER])


def test_it_keeps_the_contract_without_a_script(provider: ScriptedProvider) -> None:
    assert isinstance(provider, Provider)
    made = provider.create_node(REQUEST)
    assert provider.create_node(REQUEST) == made
    assert (made.token, made.estate) == (str(TOKEN), TOKEN.estate)
    assert provider.list_nodes().nodes == (made,)
    assert provider.get_node(made.id) == made
    assert provider.list_offers() == (OFFER,)
    provider.stop_node(made.id)
    assert provider.get_node(made.id).state is NodeState.STOPPED
    provider.start_node(made.id)
    provider.suspend_node(made.id)
    assert provider.get_node(made.id).state is NodeState.SUSPENDED
    provider.resume_node(made.id)
    provider.reboot_node(made.id)
    provider.tag_node(made.id, {"colour": "red"})
    assert provider.get_node(made.id).tags == {**made.tags, "colour": "red"}
    provider.destroy_node(made.id)
    provider.destroy_node(made.id)
    with pytest.raises(NotFound):
        provider.reboot_node(made.id)


def test_answers_are_played_one_a_call_and_then_the_cloud_is_itself_again(provider: ScriptedProvider) -> None:
    made = provider.create_node(REQUEST)
    odd = made._replace(word="odd")
    provider.play("get_node", RateLimited("slow"), odd, lambda node_id: odd._replace(id=node_id * 2))
    with pytest.raises(RateLimited):
        provider.get_node(made.id)
    assert provider.get_node(made.id) == odd
    assert provider.get_node("x").id == "xx"
    assert provider.get_node(made.id) == made


def test_every_call_is_remembered_in_order(provider: ScriptedProvider) -> None:
    provider.list_nodes()
    provider.destroy_node("a")
    provider.destroy_node("b")
    provider.reset()
    assert [call.verb for call in provider.calls] == ["list_nodes", "destroy_node", "destroy_node", "reset"]
    assert provider.called("destroy_node") == [("a",), ("b",)]


def test_what_it_lacks_is_unsupported_and_not_declared() -> None:
    provider = ScriptedProvider(now=FakeClock().now, lacking={"suspend_node"})
    assert "suspend_node" not in abilities(provider)
    assert "stop_node" in abilities(provider)
    with pytest.raises(Unsupported):
        provider.suspend_node(str(uuid.uuid4()))
