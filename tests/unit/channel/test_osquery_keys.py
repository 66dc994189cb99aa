"""Whom a node key and a token of osquery open the channel to, and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

import pytest
from fleets import Fleet, story
from spoken import KEY
from structlog.testing import capture_logs

from cloudmon.channel import keys, tokens
from cloudmon.channel.osquery import nodekeys
from cloudmon.model.guests import Enrolment, ReportKind


def test_a_key_ends_after_a_day_and_the_host_gets_another_with_the_token_it_has(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        first = host.database["node_key"]
        fleet.fake.advance(keys.LIFETIME_S + 1)
        host.run("load")
        assert not await host.flush()  # refused: its key is no more
        assert await host.flush()  # enrolled again, and taken
        assert host.database["node_key"] != first
        assert fleet.agent().serial == 1

    story(told)


def test_who_is_revoked_is_refused_at_once_and_not_let_in_again_by_the_same_token(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        heard = len(fleet.told)
        assert fleet.store.agents.revoke(fleet.owner, fleet.id(), now=fleet.clock.now(), author="ann", reason="stolen")
        await asyncio.to_thread(fleet.channel.reload, [fleet.id()])
        for _ in range(3):
            await host.talk()
        assert len(fleet.told) == heard
        assert not host.database.get("node_key")
        made = Enrolment("m-" + "a" * 12, fleet.id(), "default", 1, "ann", fleet.clock.now(), fleet.after(900))
        fleet.store.agents.offer(fleet.owner, made)
        host.secret = tokens.text(KEY, "-", made.id)
        await host.talk()
        assert fleet.told[heard].kind is ReportKind.FULL
        assert fleet.agent().serial == 2

    story(told)


def test_after_an_enrolment_anew_all_is_asked_for_though_the_host_thinks_to_have_told(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        assert fleet.store.agents.revoke(fleet.owner, fleet.id(), now=fleet.clock.now(), author="ann", reason="moved")
        await asyncio.to_thread(fleet.channel.reload, [fleet.id()])
        made = Enrolment("m-" + "b" * 12, fleet.id(), "default", 1, "ann", fleet.clock.now(), fleet.after(900))
        fleet.store.agents.offer(fleet.owner, made)
        host.secret, host.database["node_key"] = tokens.text(KEY, "-", made.id), ""
        fleet.fake.advance(60)
        host.run("load", "packages")  # nothing changed of packages, so nothing is said of them
        assert await host.flush()
        assert "packages" not in fleet.sections()
        await host.distributed()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.22.1-9"

    story(told)


def test_a_token_becomes_the_first_hosts_that_uses_it(fleet: Fleet) -> None:
    async def told() -> None:
        await fleet.host().talk()
        thief = fleet.host()
        thief.tables["osquery_info"][0]["instance_id"] = "another"
        with capture_logs() as logs:
            assert await thief.node_key() == ""
        assert "the token belongs to another agent" in [line.get("reason") for line in logs]
        assert fleet.statuses[-1] == 401

    story(told)


def test_a_token_is_good_for_a_quarter_of_an_hour_only(fleet: Fleet) -> None:
    async def told() -> None:
        fleet.fake.advance(15 * 60)
        assert await fleet.host().node_key() == ""
        assert fleet.agent() is None

    story(told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key.replace(".1.1.", ".2.1.", 1),
        lambda key: "",
        lambda key: "cmo1.k.x.1.1.1.1." + "A" * 43,
        lambda key: key + "A",
        lambda key: key.replace("cmo1.", "cm1."),
    ],
    ids=["another secret", "another appliance", "none", "nobody's", "longer", "called otherwise"],
)
def test_a_key_that_was_not_given_opens_nothing(shut: Fleet, spoil: Callable[[str], str]) -> None:
    async def told() -> None:
        host = shut.host()
        await host.talk()
        heard = len(shut.told)
        for path, more in (("config", {}), ("log", {"log_type": "result", "data": []}), ("distributed/read", {}),
                           ("distributed/write", {"queries": {}})):  # fmt: skip
            body = json.dumps({"node_key": spoil(str(host.database["node_key"])), **more}).encode()
            status, answer = await shut.send(f"/osquery/v1/{path}", {}, body)
            assert (status, json.loads(answer)) == (401, {"node_invalid": True})
        assert len(shut.told) == heard

    story(told)


def test_a_body_cannot_show_one_key_and_name_another(fleet: Fleet) -> None:
    async def told() -> None:
        mine, theirs = fleet.host(1), fleet.host(2)
        shown, named = await mine.node_key(), await theirs.node_key()
        body = json.dumps({"data": [{"node_key": shown}], "log_type": "result", "node_key": named}).encode()
        status, _ = await fleet.send("/osquery/v1/log", {}, body)
        assert status == 400

    story(told)


def test_agents_keys_and_node_keys_open_each_their_own_door_only(fleet: Fleet) -> None:
    async def told() -> None:
        speaker = await fleet.joined(2)
        key = keys.parse(speaker.key_id)
        assert key is not None
        shown = f"cmo1.{key.id}.{keys.shown(speaker.secret)}"
        status, _ = await fleet.send("/osquery/v1/config", {}, json.dumps({"node_key": shown}).encode())
        assert status == 401
        node_key = nodekeys.text(KEY, key)
        speaker.secret = base64.urlsafe_b64decode(node_key.rpartition(".")[2] + "=")
        assert (await fleet.ask(speaker.say("poll", speaker.poll(0)))).status == 401

    story(told)
