"""What a user does, done on EC2: every call goes over the wire to moto's server, which is as strict as EC2."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import shop as shops
from on_moto import EventBus
from shop import REASON, Shop

from cloudmon.model.identity import TAG_ESTATE, TAG_SET, TAG_TENANT, TAG_TOKEN, Token
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.monitor.courier import Courier
from cloudmon.monitor.hints import Hints
from cloudmon.monitor.listening import Listener
from cloudmon.monitor.service import open_service
from cloudmon.testing.clock import FakeClock

IMAGE = "ami-12c6146b"
TIDY = {"verb": "job_run", "job": "tidy"}
ALIVE = frozenset({"pending", "running", "stopping", "stopped"})


class Console:
    """The account as its owner sees it, without cloudmon."""

    def __init__(self, url: str) -> None:
        self.client = boto3.client(
            "ec2", region_name="us-east-1", endpoint_url=url, aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )  # fmt: skip

    def instances(self, states: frozenset[str] = ALIVE) -> dict[str, dict[str, Any]]:
        pages = self.client.get_paginator("describe_instances").paginate()
        every = [one for page in pages for found in page["Reservations"] for one in found["Instances"]]
        return {one["InstanceId"]: one for one in every if one["State"]["Name"] in states}

    def states(self) -> dict[str, str]:
        return {node: one["State"]["Name"] for node, one in self.instances().items()}

    def tags(self, node: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.instances()[node].get("Tags", [])}

    def run(self, **tags: str) -> str:
        """An instance made by hand."""
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        found = self.client.run_instances(
            ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}] if pairs else [],
        )  # fmt: skip
        return str(found["Instances"][0]["InstanceId"])

    def terminate(self, node: str) -> None:
        self.client.terminate_instances(InstanceIds=[node])


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """The create and tag calls that reach EC2, with what they say."""
    from moto.ec2.models import EC2Backend  # noqa: PLC0415 - a second, which only the tests with moto pay

    found: list[tuple[str, Mapping[str, Any]]] = []

    def listening(verb: str) -> None:
        inner = getattr(EC2Backend, verb)

        def outer(backend: Any, *arguments: Any, **named: Any) -> Any:
            found.append((verb, {"arguments": arguments, **named}))
            return inner(backend, *arguments, **named)

        monkeypatch.setattr(EC2Backend, verb, outer)

    listening("run_instances")
    return found


@pytest.fixture
def console(moto_ec2_with_tokens: str) -> Console:
    return Console(moto_ec2_with_tokens)


@pytest.fixture
def shop(moto_ec2_with_tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """``web`` with two appliances, wanted on EC2; nothing is done yet."""
    text = f"""{shops.HEAD}
[clouds.virginia]
provider = "aws"
listing_lag_s = 1
calls_per_s = 1000
burst = 1000
[clouds.virginia.options]
region = "us-east-1"
access_key = "testing"
secret_key = "testing"
endpoint = "{moto_ec2_with_tokens}"
pricing = false
instance_types = ["t3.micro", "m5.large"]
[clouds.virginia.options.price_list]
dated = "2026-01-15"
per_hour = {{ "t3.micro" = "0.0104", "m5.large" = "0.096" }}
[templates.web]
images = {{ virginia = "{IMAGE}" }}
needs = {{ vcpus = 2, memory_mib = 1024 }}
user_data = "#!/bin/sh\\necho {{appliance}}\\n"
[sets.web]
template = "web"
count = 2
"""
    # The endpoint lives by the machine's clock, and says when instances were launched.
    clock = FakeClock(dt.datetime.now(dt.UTC).replace(microsecond=0))
    return shops.opened(tmp_path, clock, monkeypatch, text)


@pytest.fixture
def two(shop: Shop) -> Shop:
    """Both run."""
    shop("apply", "--yes")
    return shop


# --- from nothing to nothing --------------------------------------------------------------------------------------


def test_a_plan_shows_what_it_would_cost_and_makes_nothing(shop: Shop, console: Console) -> None:
    rows = shop.json("plan", code=2)
    assert [(row["subject"], row["action"]) for row in rows] == [
        ("web", "create"),
        ("web/1", "launch"),
        ("web/2", "launch"),
    ]
    assert {(row["cloud"], row["price_per_hour"], row["currency"]) for row in rows[1:]} == {
        ("virginia", "0.0104", "USD")
    }
    assert all(row["offer"].endswith("/t3.micro") for row in rows[1:])
    assert console.instances() == {}


def test_instances_are_made_once_with_token_and_tags_in_the_create_call(
    shop: Shop, console: Console, orders: list[tuple[str, Mapping[str, Any]]]
) -> None:
    shop("apply", "--yes")
    assert shop.states() == {"web/1": "running", "web/2": "running"}
    made = console.instances()
    assert set(made) == set(shop.nodes().values())
    assert len(orders) == 2
    for name, node in shop.nodes().items():
        (asked,) = [named for _, named in orders if named["client_token"] == made[node]["ClientToken"]]
        tags = asked["tags"]["instance"]
        token = Token.parse(made[node]["ClientToken"])
        assert token is not None
        assert (token.ordinal, token.incarnation) == (int(name[-1]), 1)
        assert tags[TAG_TOKEN] == made[node]["ClientToken"]
        assert tags[TAG_ESTATE] == token.estate
        assert (tags[TAG_SET], tags[TAG_TENANT]) == ("web", "default")
        assert made[node]["InstanceType"] == "t3.micro"
        assert made[node]["MetadataOptions"]["HttpTokens"] == "required"
    assert shop.json("plan") == []
    shop("apply", "--yes")
    assert set(console.instances()) == set(made)


def test_a_lost_answer_makes_no_second_instance(shop: Shop, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer comes after EC2 took the order: the same token finds what was made."""
    from moto.ec2.models import EC2Backend  # noqa: PLC0415

    inner, lost = EC2Backend.run_instances, iter([True])

    def once(backend: Any, *arguments: Any, **named: Any) -> Any:
        found = inner(backend, *arguments, **named)
        if next(lost, False):
            raise ConnectionError("the answer is lost")
        return found

    monkeypatch.setattr(EC2Backend, "run_instances", once)
    shop.edit("call_timeout_s = 5", "call_timeout_s = 2")
    shop("apply", "--yes")
    assert next(lost, None) is None
    assert shop.states() == {"web/1": "running", "web/2": "running"}
    assert set(console.instances()) == set(shop.nodes().values())


def test_stop_start_and_reboot(two: Shop, console: Console) -> None:
    node, other = two.nodes()["web/1"], two.nodes()["web/2"]
    two("act", "web/1", "stop", *REASON)
    assert console.states() == {node: "stopped", other: "running"}
    assert two.states() == {"web/1": "stopped", "web/2": "running"}
    assert two.json("plan") == []
    two("act", "web/1", "start", *REASON)
    assert console.states() == {node: "running", other: "running"}
    assert two("act", "web/2", "reboot", *REASON).stdout.startswith("reboot of 1 appliance")
    assert two.nodes() == {"web/1": node, "web/2": other}
    assert [row["verb"] for row in two.json("actions")][2:] == ["stop", "start", "reboot"]


def test_suspension_is_a_stop_where_nothing_can_suspend(two: Shop, console: Console) -> None:
    found = two("act", "web/1", "suspend", *REASON).stdout
    assert "stopped, not suspended" in found
    assert console.states()[two.nodes()["web/1"]] == "stopped"


def test_peers_share_a_security_group_that_comes_back_after_isolation_and_ends_with_their_set(
    shop: Shop, console: Console
) -> None:
    def groups(node: str) -> list[str]:
        return [group["GroupName"] for group in console.instances()[node]["SecurityGroups"]]

    def peers() -> list[dict[str, Any]]:
        wanted = [{"Name": f"tag:{TAG_SET}", "Values": ["web"]}]
        found: list[dict[str, Any]] = console.client.describe_security_groups(Filters=wanted)["SecurityGroups"]
        return found

    shop.edit("pricing = false", "pricing = false\nfirewall = true")
    shop.edit("[sets.web]", "[templates.web.peers]\nports = [8008]\nfirewall = true\n[sets.web]")
    shop("apply", "--yes")
    (group,) = peers()
    assert [rule["FromPort"] for rule in group["IpPermissions"]] == [8008]
    assert [groups(node) for node in console.instances()] == [["default", group["GroupName"]]] * 2
    node, other = shop.nodes().values()
    assert shop("act", "web/1", "isolate", *REASON).stdout.startswith("1 appliance isolated")
    assert (groups(node), len(groups(other))) == (["cloudmon-isolated"], 2)
    assert shop.states() == {"web/1": "isolated", "web/2": "running"}
    shop("act", "web/1", "release", *REASON)
    assert groups(node) == ["default", group["GroupName"]]
    shop.edit("count = 2", "count = 0")
    shop.edit("firewall = true\n[sets", "[sets")
    shop("apply", "--yes")
    assert peers() == []


def test_what_is_terminated_behind_our_back_comes_back_as_the_next_incarnation(two: Shop, console: Console) -> None:
    before = two.nodes()
    console.terminate(before["web/2"])
    assert [row["subject"] for row in two.json("plan", code=2)] == ["web/2"]
    two("apply", "--yes")
    after = two.nodes()
    assert after["web/1"] == before["web/1"]
    assert after["web/2"] != before["web/2"]
    assert {row["appliance"]: row["incarnation"] for row in two.json("status")} == {"web/1": 1, "web/2": 2}
    token = Token.parse(console.instances()[after["web/2"]]["ClientToken"])
    assert token is not None
    assert (token.ordinal, token.incarnation) == (2, 2)
    assert "its node is gone" in two("why", "web/2").stdout
    assert set(console.instances()) == set(after.values())


def test_a_replacement_asked_for_ends_the_old_instance(two: Shop, console: Console) -> None:
    before = two.nodes()
    two("act", "web/1", "replace", *REASON)
    assert before["web/1"] not in console.instances()
    assert set(console.instances()) == set(two.nodes().values())


def test_a_set_made_smaller_ends_what_is_over(two: Shop, console: Console) -> None:
    before = two.nodes()
    two.edit("count = 2", "count = 1")
    two("apply", "--yes")
    assert two.nodes() == {"web/1": before["web/1"]}
    assert list(console.instances()) == [before["web/1"]]


def test_a_retired_set_leaves_nothing_running_and_everything_told(two: Shop, console: Console) -> None:
    made = two.nodes()
    two.clock.advance(600)
    two("sets", "retire", "web", *REASON, "--yes")
    assert console.instances() == {}
    assert set(console.instances(frozenset({"terminated"}))) >= set(made.values())
    assert two.json("status") == []
    assert two.json("plan") == []
    used = {row["subject"]: row for row in two.json("usage", "--by", "appliance")}
    assert sorted(used) == ["web/1", "web/2"]
    for row in used.values():
        assert 600 <= row["measured_s"] + row["estimated_s"] <= 660
        assert not row["open"]
    two.clock.advance(600)
    assert {row["subject"]: row for row in two.json("usage", "--by", "appliance")} == used
    assert two.json("audit", "verify") == []


# --- what others made ---------------------------------------------------------------------------------------------


def test_instances_are_adopted_by_id_and_by_tag(two: Shop, console: Console) -> None:
    by_id, by_tag, left = console.run(), console.run(role="web"), console.run(role="db")
    two("adopt", "virginia", by_id, "--set", "web", *REASON)
    two("adopt", "virginia", "--set", "web", "--tag", "role=web", *REASON)
    two("apply", "--yes")
    assert two.states() == dict.fromkeys(["web/1", "web/2", "web/3", "web/4"], "running")
    assert (two.nodes()["web/3"], two.nodes()["web/4"]) == (by_id, by_tag)
    assert console.tags(by_id)[TAG_SET] == "web"
    assert console.tags(by_tag)["role"] == "web"
    assert console.tags(left) == {"role": "db"}
    two("sets", "retire", "web", *REASON, "--yes")
    assert list(console.instances()) == [left]


# --- when EC2 is not well -----------------------------------------------------------------------------------------


def throttle(patch: pytest.MonkeyPatch) -> None:
    """From now on EC2 refuses every listing."""
    from moto.ec2.exceptions import EC2ClientError  # noqa: PLC0415
    from moto.ec2.models import EC2Backend  # noqa: PLC0415

    def refuse(*_: Any, **__: Any) -> Any:
        raise EC2ClientError("RequestLimitExceeded", "Request limit exceeded.")

    patch.setattr(EC2Backend, "describe_instances", refuse)


def test_while_ec2_throttles_nothing_is_proposed_and_nothing_destroyed(
    two: Shop, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = console.states()
    with monkeypatch.context() as undone:
        throttle(undone)
        two.clock.advance(120)
        found = two("plan")
        assert "note: cloud virginia is not seen: RateLimited" in found.stderr
        with two.monitor() as watch:
            watch.over(300)
        assert all(row["stale"] for row in two.json("status"))
        assert "running (stale since" in two("status").stdout
    assert console.states() == before
    two("apply", "--yes")
    assert two.states() == {"web/1": "running", "web/2": "running"}
    assert console.states() == before
    assert not any(row["stale"] for row in two.json("status"))


def test_with_a_dead_endpoint_nothing_is_proposed_and_nothing_destroyed(
    two: Shop, console: Console, moto_ec2_with_tokens: str
) -> None:
    before = console.states()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        two.edit(moto_ec2_with_tokens, dead)
        two.clock.advance(120)
        found = two("plan")
        assert found.stdout == ""
        assert "note: cloud virginia is not seen: Unreachable" in found.stderr
        with two.monitor() as watch:
            watch.over(300)
        assert all(row["stale"] for row in two.json("status"))
        assert "virginia cannot be seen" in two("status").stderr
    assert console.states() == before


# --- when EC2 tells of a change ------------------------------------------------------------------------------------


def test_an_instance_that_stops_is_started_by_its_event_long_before_the_next_poll(
    two: Shop, console: Console, event_bus: EventBus
) -> None:
    """The poll comes every hour; what heals is what EventBridge put into the queue."""
    two.edit("poll_interval_s = 10", "poll_interval_s = 3600")
    two.edit("pricing = false", f'pricing = false\nevents_queue = "{event_bus.queue}"')
    node, foreign = two.nodes()["web/1"], console.run()
    with open_service(two.path, two.clock) as service:
        service.begin()
        service.tick()
        hints = Hints(service.monitor, lambda: None)
        listener = Listener("virginia", service.make_provider, hints.put, two.clock)
        event_bus.put("not even json")
        event_bus.tell(foreign, "stopped")
        console.client.stop_instances(InstanceIds=[node])
        event_bus.tell(node, "stopping")
        event_bus.tell(node, "stopped")
        assert listener.once() == 4
        asked = service.clouds_health()[0].calls
        assert hints.look() == 1
        # The instance is read and started; the other account's one cost nothing.
        assert service.clouds_health()[0].calls == asked + 2
        assert console.states()[node] == "running"
        two.clock.advance(1)
        event_bus.tell(node, "running")
        listener.once()
        hints.look()
        assert event_bus.left == 0
    assert two.states() == {"web/1": "running", "web/2": "running"}
    assert [row["verb"] for row in two.json("actions")][2:] == ["start"]


def test_a_queue_that_is_away_leaves_the_poll_as_it_was(two: Shop, console: Console, moto_server: str) -> None:
    two.edit("pricing = false", f'pricing = false\nevents_queue = "{moto_server}/123456789012/none"')
    node = two.nodes()["web/1"]
    console.client.stop_instances(InstanceIds=[node])
    with open_service(two.path, two.clock) as service:
        service.begin()
        listener = Listener("virginia", service.make_provider, lambda *_: None, two.clock)
        assert listener.once() == 0
        assert "wait_events" in listener.error
        service.tick()
    two("apply", "--yes")
    assert console.states()[node] == "running"


# --- inside instances without an agent -----------------------------------------------------------------------------


def test_a_job_is_run_by_systems_manager_where_no_agent_is(two: Shop, console: Console) -> None:
    """moto's Systems Manager is well at once and says nothing."""
    two.edit("pricing = false", "pricing = false\nrun_command = true")
    two.edit("[sets.web]", '[templates.web.jobs.tidy]\nargv = ["tidy", "a b; c"]\n[sets.web]')
    with open_service(two.path, two.clock) as service:
        service.begin()
        service.tick()
        asked = Request("r1", RequestVerb.COMMAND, "default", "web/1", TIDY, "cli:ann", "so", two.clock.now())
        service.store.requests.add(asked)
        service.tick()
        courier = Courier(service.monitor)
        for _ in range(200):
            if courier.round():
                break
            threading.Event().wait(0.05)  # the call is on another thread
        service.tick()
    (row,) = [row for row in two.json("actions") if row["verb"] == "job_run"]
    assert (row["state"], row["error"]) == ("done", "")
    told = two("why", "web/1").stdout
    assert "job_run" in told
