"""One try of one intent: what each answer of a cloud comes to, and that no failure reaches another intent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pictures import ESTATE, intent, node, offer, token

from cloudmon import errors
from cloudmon.engine.workers import InlineWorkers
from cloudmon.errors import CloudError
from cloudmon.model.actions import GUEST_VERBS, Origin, Outcome, Verb
from cloudmon.model.changes import Change
from cloudmon.model.identity import TAG_ESTATE, TAG_SET, TAG_TENANT, TAG_TOKEN
from cloudmon.model.nodes import NodeState
from cloudmon.model.sets import SetSpec, Template
from cloudmon.monitor import act
from cloudmon.monitor.act import Actor, Call
from cloudmon.reconcile.plan import Step
from cloudmon.testing import FakeClock, ScriptedProvider

SPEC = SetSpec(
    "storefront", 3,
    Template("web", {"*": "any", "west": "own"}, user_data="{appliance} {set} {ordinal} {incarnation}",
             options={"east": {"network": "n"}}),
)  # fmt: skip


def call(verb: Verb, **other: Any) -> Call:
    of = intent(verb, created_at=FakeClock().now(), deadline=FakeClock().now() + dt.timedelta(seconds=60), **other)
    step = Step(of, Change("default"), offer() if verb is Verb.LAUNCH else None)
    request = act.node_request(step, SPEC) if verb is Verb.LAUNCH else None
    return Call(step, request, act.tags_of(of.token, SPEC) if verb in (Verb.ADOPT, Verb.SNAPSHOT) else None)


def cloud(**other: Any) -> ScriptedProvider:
    return ScriptedProvider("east", now=FakeClock().now, nodes=[node("n-1")], **other)


METHOD = {
    Verb.LAUNCH: "create_node",
    Verb.START: "start_node",
    Verb.STOP: "stop_node",
    Verb.SUSPEND: "suspend_node",
    Verb.RESUME: "resume_node",
    Verb.REBOOT: "reboot_node",
    Verb.TERMINATE: "destroy_node",
    Verb.ADOPT: "tag_node",
    Verb.SNAPSHOT: "snapshot_node",
    Verb.SNAPSHOT_END: "forget_snapshot",
    Verb.ISOLATE: "isolate_node",
    Verb.RELEASE: "release_node",
    Verb.PEERS_OPEN: "open_peers",
    Verb.PEERS_CLOSE: "close_peers",
}


def test_every_verb_is_one_of_a_cloud_or_one_of_an_agent() -> None:
    assert {*METHOD, *GUEST_VERBS} == set(Verb)
    assert not GUEST_VERBS & METHOD.keys()


@pytest.mark.parametrize("verb", METHOD)
def test_an_intent_is_one_call_of_its_verb(verb: Verb) -> None:
    provider = cloud()
    outcome, _ = act.perform(provider, call(verb), FakeClock())
    assert (outcome.final, outcome.accepted, outcome.error) == (True, True, "")
    assert [made.verb for made in provider.calls] == [METHOD[verb]]


@pytest.mark.parametrize("verb", [verb for verb in METHOD if verb is not Verb.ADOPT])
@pytest.mark.parametrize(
    ("error", "final"),
    [
        (errors.CredentialsRejected("no"), True),
        (errors.Unreachable("no answer"), False),
        (errors.OutOfCapacity("full"), True),
        (errors.QuotaExceeded("enough"), True),
        (errors.NotFound("what?"), True),
        (errors.Refused("wrong state"), True),
        (errors.UnexpectedAnswer("<html>"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, CloudError) else "final" if value else "not final",
)
def test_only_a_definite_failure_is_final(verb: Verb, error: CloudError, final: bool) -> None:
    """Everything else may have had its effect."""
    provider = cloud()
    provider.play(METHOD[verb], error)
    outcome, made = act.perform(provider, call(verb), FakeClock())
    assert outcome == Outcome(final, False, error=f"{type(error).__name__}: {error.message}")
    assert made is None


@pytest.mark.parametrize(("wish", "wait_s"), [(40.0, 40), (None, 15), (0.0, 0)], ids=["its wish", "no wish", "at once"])
def test_throttling_is_waited_out(wish: float | None, wait_s: int) -> None:
    provider = cloud()
    provider.play("destroy_node", errors.RateLimited("slower", retry_after_s=wish))
    outcome, _ = act.perform(provider, call(Verb.TERMINATE), FakeClock())
    assert (outcome.final, outcome.accepted) == (False, False)
    assert outcome.retry_at == FakeClock().now() + dt.timedelta(seconds=wait_s)


def test_a_broken_adapter_is_a_lost_answer_and_says_nothing_of_what_it_held() -> None:
    provider = cloud()
    provider.play("create_node", RuntimeError("password=hunter2"))
    outcome, _ = act.perform(provider, call(Verb.LAUNCH), FakeClock())
    assert outcome == Outcome(False, False, error="UnexpectedAnswer: its adapter failed with RuntimeError")


@pytest.mark.parametrize(
    ("late_s", "begin_by_s", "begun"),
    [(60, None, True), (61, None, False), (61, 90, True), (91, 90, False)],
    ids=["in time", "past its deadline", "tried again in time", "tried again too late"],
)
def test_nothing_is_begun_that_was_decided_too_long_ago(late_s: int, begin_by_s: int | None, begun: bool) -> None:
    """A monitor that was paused for long: its successor may have decided otherwise."""
    clock, provider = FakeClock(), cloud()
    begin_by = clock.now() + dt.timedelta(seconds=begin_by_s) if begin_by_s is not None else None
    late = replace(call(Verb.TERMINATE), begin_by=begin_by)
    clock.advance(late_s)
    outcome, _ = act.perform(provider, late, clock)
    assert bool(provider.calls) is begun
    assert outcome.accepted is begun
    assert outcome.final is begun


# --- abilities --------------------------------------------------------------------------------------------------------


class Least:
    """A provider with nothing but the core."""

    cloud = "east"
    list_nodes = get_node = create_node = destroy_node = list_offers = None


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.REBOOT, Verb.SUSPEND, Verb.RESUME, Verb.SNAPSHOT])
def test_what_a_provider_cannot_do_is_definitely_not_done(verb: Verb) -> None:
    outcome, _ = act.perform(Least(), call(verb), FakeClock())  # type: ignore[arg-type]
    assert (outcome.final, outcome.accepted) == (True, False)
    assert outcome.error.startswith("Unsupported: ")


def test_suspend_falls_back_to_stop_and_says_so() -> None:
    provider = cloud(lacking={"suspend_node"})
    outcome, _ = act.perform(provider, call(Verb.SUSPEND), FakeClock())
    assert (outcome.accepted, outcome.verb) == (True, Verb.STOP)
    assert provider.nodes["n-1"].state is NodeState.STOPPED


def test_suspend_falls_back_to_isolation_where_the_cloud_can_neither_suspend_nor_stop() -> None:
    provider = cloud(lacking={"suspend_node", "stop_node"})
    outcome, _ = act.perform(provider, call(Verb.SUSPEND), FakeClock())
    assert (outcome.accepted, outcome.verb) == (True, Verb.ISOLATE)
    assert (provider.nodes["n-1"].state, provider.nodes["n-1"].isolated) == (NodeState.RUNNING, True)


def test_a_suspension_that_nothing_can_be_done_for_is_unsupported() -> None:
    provider = cloud(lacking={"suspend_node", "stop_node", "isolate_node"})
    outcome, _ = act.perform(provider, call(Verb.SUSPEND), FakeClock())
    assert (outcome.final, outcome.accepted) == (True, False)
    assert outcome.error.startswith("Unsupported: ")


def test_a_refused_suspension_does_not_fall_back() -> None:
    provider = cloud()
    provider.play("suspend_node", errors.Refused("locked"))
    outcome, _ = act.perform(provider, call(Verb.SUSPEND), FakeClock())
    assert not outcome.accepted
    assert provider.called("stop_node") == []


def test_adoption_writes_the_tags_where_the_cloud_can() -> None:
    provider = cloud()
    assert act.perform(provider, call(Verb.ADOPT), FakeClock())[0].accepted
    assert provider.called("tag_node") == [("n-1", act.tags_of(token(), SPEC))]
    assert act.perform(cloud(lacking={"tag_node"}), call(Verb.ADOPT), FakeClock())[0].accepted
    assert act.perform(Least(), call(Verb.ADOPT), FakeClock())[0].accepted  # type: ignore[arg-type]


def test_a_snapshot_is_named_so_that_no_try_keeps_it_twice() -> None:
    """What rules want within one hour is one; each that a person asks for is another. Its id is the outcome's."""
    provider = cloud()
    asked = [
        call(Verb.SNAPSHOT, origin=Origin.OBSERVATION),
        call(Verb.SNAPSHOT, origin=Origin.OBSERVATION),
        call(Verb.SNAPSHOT, origin=Origin.OBSERVATION, id="another"),
        call(Verb.SNAPSHOT, origin=Origin.REQUEST, id="by hand"),
    ]
    made = [act.perform(provider, one, FakeClock())[0].made for one in asked]
    assert made == ["snapshot-1"] * 3 + ["snapshot-2"]
    (_, name, tags), *_ = provider.called("snapshot_node")
    assert name.startswith("cloudmon-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert tags == act.tags_of(token(), SPEC)


# --- what a launch asks for -------------------------------------------------------------------------------------------


def test_a_launch_asks_for_what_its_incarnation_says_and_nothing_else() -> None:
    """The offer without its price and capacity, which change between two tries of one token."""
    made = call(Verb.LAUNCH).request
    assert made is not None
    assert (made.token, made.name, made.image) == (token(), "storefront-1-1", "any")
    assert (made.user_data, made.options) == ("storefront/1 storefront 1 1", {"network": "n"})
    assert made.tags == {TAG_ESTATE: ESTATE, TAG_TOKEN: token(), TAG_SET: "storefront", TAG_TENANT: "default"}
    assert (made.offer.price, made.offer.capacity, made.offer.key) == (None, None, "east/here-1/small")
    dearer = Step(call(Verb.LAUNCH).step.intent, Change("default"), offer(per_hour="9", capacity=1))
    assert act.node_request(dearer, SPEC) == made


def test_another_clouds_image_and_options_are_its_own() -> None:
    step = Step(intent(cloud="west"), Change("default"), offer(cloud="west"))
    made = act.node_request(step, SPEC)
    assert (made.image, made.options) == ("own", None)


# --- many at once -----------------------------------------------------------------------------------------------------


def actor(make: Callable[[str], Any]) -> Actor:
    return Actor(InlineWorkers(make, ["east"]), FakeClock())


def numbered(name: str, verb: Verb = Verb.TERMINATE, **other: Any) -> Call:
    return call(verb, id=name, **other)


def test_one_intents_failure_does_not_reach_another() -> None:
    provider = cloud()
    provider.play("destroy_node", errors.Unreachable("lost"), RuntimeError("broken"))
    of = actor(lambda _: provider)
    for name in "abc":
        of.begin(numbered(name))
    (landed,) = [list(batch) for batch in _taken(of)]
    assert {made.step.intent.id: outcome.accepted for made, outcome, _ in landed} == {"a": False, "b": False, "c": True}


def _taken(of: Actor) -> Any:
    for batch in of.landed(0.0):
        of.recorded(batch)
        yield batch


def test_an_outcome_that_could_not_be_recorded_is_given_again_and_stays_in_flight() -> None:
    """The store went away in between: nothing must begin the same intent a second time."""
    of = actor(lambda _: cloud())
    of.begin(numbered("a"))
    first = next(iter(of.landed(0.0)))
    assert of.in_flight == {"a"}
    again = next(iter(of.landed(0.0)))
    assert again == first
    of.recorded(again)
    assert of.in_flight == frozenset()
    assert list(of.landed(0.0)) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: (_ for _ in ()).throw(errors.CredentialsRejected("no")), "CredentialsRejected: no"),
        (lambda _: (_ for _ in ()).throw(ImportError("x")), "Unreachable: the call was lost (ImportError)"),
    ],
    ids=["its credentials are rejected", "its library is missing"],
)
def test_a_worker_without_a_provider_is_an_outcome_too(make: Any, said: str) -> None:
    of = actor(make)
    of.begin(numbered("a"))
    ((_, outcome, _),) = next(iter(of.landed(0.0)))
    assert outcome.error == said
    assert not outcome.accepted


def test_what_was_not_begun_before_the_workers_were_closed_is_not_lost() -> None:
    workers = InlineWorkers(lambda _: cloud(), ["east"])
    of = Actor(workers, FakeClock())
    workers.close(0)
    of.begin(numbered("a"))
    ((_, outcome, _),) = next(iter(of.landed(0.0)))
    assert outcome == Outcome(False, False, error="Unreachable: not begun before the workers were closed")


def test_a_cloud_that_is_not_configured_any_more_is_a_definite_refusal() -> None:
    of = actor(lambda _: cloud())
    of.begin(call(Verb.TERMINATE, cloud="west"))
    ((_, outcome, _),) = next(iter(of.landed(0.0)))
    assert outcome.final
    assert outcome.error.startswith("Refused: ")
