"""The examples in config/ reach their clouds: answers in the clouds' own form, over a real socket."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cloudmon import errors, settings
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest, NodeState
from cloudmon.model.offers import Offer
from cloudmon.provider import abilities
from cloudmon_providers.generic import GenericProvider
from cloudmon_providers.generic.options import GenericOptions

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
CONFIG = Path(__file__).resolve().parents[3] / "config"
TOKEN = Token("e" * 12, "s" * 12, 3, 1)
TAGS = ownership_tags(TOKEN, set_name="storefront", tenant="default")


def request(cloud: str, size: str, location: str, image: str) -> NodeRequest:
    return NodeRequest(str(TOKEN), "storefront-3", Offer(cloud, size, location, 2, 4_096, 40), image, TAGS, "#!/bin/sh")


def provider(cloud: str, file: str, secrets: dict[str, str], **arguments: Any) -> GenericProvider:
    options = settings.load(CONFIG / file).options(cloud)
    given = options.model_dump() | secrets
    given["arguments"] |= arguments
    return GenericProvider(cloud, GenericOptions.model_validate(given), now=lambda: NOW, timeout_s=5)


# --- OpenStack --------------------------------------------------------------------------------------------------------


def server(id_: str = "b1", status: str = "ACTIVE", task: str | None = None, vm: str = "active", **more: Any) -> Any:
    """A server as Nova of Zed shows it."""
    return {
        "id": id_,
        "name": "storefront-3",
        "status": status,
        "tenant_id": "t1",
        "user_id": "u1",
        "metadata": TAGS,
        "hostId": "h1",
        "image": {"id": "img"},
        "flavor": {"id": "f1"},
        "created": "2026-10-31T10:00:00Z",
        "updated": "2026-10-31T10:01:00Z",
        "addresses": {"net": [{"addr": "10.0.0.7", "version": 4, "OS-EXT-IPS:type": "fixed"}]},
        "links": [{"rel": "self", "href": f"http://nova/v2.1/servers/{id_}"}],
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-STS:task_state": task,
        "OS-EXT-STS:vm_state": vm,
        **more,
    }


@pytest.fixture
def stack(api) -> GenericProvider:
    where = {"ex_force_base_url": f"{api.url}/v2.1", "ex_force_auth_token": "t"}
    return provider("stack", "openstack.toml", {"secret": "the-password"}, **where)


def test_openstack_can_suspend_by_looking(stack) -> None:
    assert abilities(stack) == {"start_node", "stop_node", "reboot_node", "suspend_node", "resume_node"}


@pytest.mark.parametrize(
    ("given", "state"),
    [
        pytest.param({}, NodeState.RUNNING, id="active"),
        pytest.param({"task": "powering-off"}, NodeState.STOPPING, id="being stopped, still active"),
        pytest.param({"task": "deleting"}, NodeState.TERMINATING, id="being deleted, still active"),
        pytest.param({"status": "PAUSED", "vm": "paused"}, NodeState.SUSPENDED, id="paused"),
        pytest.param({"status": "SHELVED_OFFLOADED", "vm": "shelved_offloaded"}, NodeState.STOPPED, id="shelved"),
        pytest.param({"status": "SHUTOFF", "vm": "stopped"}, NodeState.STOPPED, id="shut off"),
        pytest.param({"status": "RESCUE", "vm": "rescued"}, NodeState.UNKNOWN, id="rescue"),
        pytest.param({"status": "ERROR", "vm": "error"}, NodeState.ERROR, id="error"),
    ],
)
def test_openstack_states_are_told_by_task_and_machine(stack, api, given, state) -> None:
    api.answers["GET /v2.1/servers/detail"] = (200, {"servers": [server(**given)]})
    (node,) = stack.list_nodes().nodes
    assert (node.state, node.token, node.size, node.image) == (state, str(TOKEN), "f1", "img")
    assert node.private_addresses == ["10.0.0.7"]
    assert node.created_at == dt.datetime(2026, 10, 31, 10, tzinfo=dt.UTC)


def test_openstack_listings_prove_themselves(stack, api) -> None:
    api.answers["GET /v2.1/servers/detail"] = (200, {"servers": []})
    assert stack.list_nodes().nodes == []
    api.answers["GET /v2.1/servers/detail"] = (200, {"volumes": []})
    with pytest.raises(errors.UnexpectedAnswer):
        stack.list_nodes()


def test_openstack_carries_our_tags_from_the_create_call_on(stack, api) -> None:
    api.answers["GET /v2.1/servers/detail"] = (200, {"servers": []})
    flavor = {"id": "f1", "name": "m1", "ram": 4_096, "disk": 40, "swap": "", "vcpus": 2, "links": []}
    api.answers["GET /v2.1/flavors/detail"] = (200, {"flavors": [flavor]})
    api.answers["POST /v2.1/servers"] = (202, {"server": {"id": "b1", "adminPass": "x", "links": []}})
    api.answers["GET /v2.1/servers/b1"] = (200, {"server": server(status="BUILD", vm="building")})
    (offer,) = stack.list_offers()
    assert (offer.size, offer.location, offer.vcpus, offer.memory_mib, offer.disk_gib) == ("f1", "", 2, 4_096, 40)
    node = stack.create_node(request("stack", "f1", "", "img"))
    (body,) = api.bodies("POST /v2.1/servers")
    assert body["server"]["metadata"] == TAGS
    assert body["server"]["networks"] == [{"uuid": "5a3c1b0e-0000-4000-8000-000000000000"}]
    assert (node.id, node.token) == ("b1", str(TOKEN))


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (403, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", errors.QuotaExceeded),
        (409, "Cannot 'stop' instance b1 while it is in vm_state stopped", errors.Refused),
        (500, "No valid host was found.", errors.OutOfCapacity),
        (502, "Bad gateway", errors.Unreachable),
    ],
)
def test_openstack_errors_are_ours(stack, api, status, message, error) -> None:
    api.answers["GET /v2.1/servers/detail"] = (status, {"fault": {"message": message, "code": status}})
    with pytest.raises(error):
        stack.list_nodes()


def test_a_server_that_openstack_does_not_know_is_not_found(stack, api) -> None:
    api.answers["GET /v2.1/servers/b9"] = (404, {"itemNotFound": {"message": "x", "code": 404}})
    with pytest.raises(errors.NotFound):
        stack.get_node("b9")


# --- DigitalOcean -----------------------------------------------------------------------------------------------------


def droplet(**more: Any) -> Any:
    size = {
        "slug": "s-1vcpu-1gb", "memory": 1_024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": 6.0,
        "price_hourly": 0.00893, "regions": ["fra1"],
    }  # fmt: skip
    return {
        "id": 3_164_444,
        "name": "storefront-3",
        "status": "active",
        "created_at": "2026-10-31T10:00:00Z",
        "image": {"id": 7, "slug": "debian-13-x64", "name": "13", "distribution": "Debian", "public": True,
                  "regions": ["fra1"], "min_disk_size": 7, "created_at": "2026-01-01T00:00:00Z"},
        "size": size,
        "size_slug": "s-1vcpu-1gb",
        "networks": {"v4": [{"type": "public", "ip_address": "104.1.1.1"}], "v6": []},
        "region": {"slug": "fra1", "name": "Frankfurt 1"},
        "tags": [f"{key}:{value}" for key, value in TAGS.items()],
        **more,
    }  # fmt: skip


@pytest.fixture
def ocean(api) -> Iterator[GenericProvider]:
    found = provider("ocean", "digitalocean.toml", {"key": "the-token"})
    found.driver.connection.connection.host = api.url  # the driver has no argument for it
    regions = [{"slug": slug, "name": slug, "features": [], "available": True} for slug in ("fra1", "nyc1")]
    api.answers["GET /v2/regions"] = (200, {"regions": regions, "links": {}})
    api.answers["GET /v2/sizes"] = (200, {"sizes": [droplet()["size"]], "links": {}})
    return found


def test_digitalocean_carries_our_tags_as_words(ocean, api) -> None:
    api.answers["GET /v2/droplets"] = (200, {"droplets": [], "links": {}})
    api.answers["POST /v2/droplets"] = (202, {"droplet": droplet(status="new")})
    made = ocean.create_node(request("ocean", "s-1vcpu-1gb", "fra1", "debian-13-x64"))
    (body,) = api.bodies("POST /v2/droplets")
    assert (body["region"], body["size"], body["user_data"]) == ("fra1", "s-1vcpu-1gb", "#!/bin/sh")
    assert f"cloudmon:token:{TOKEN}" in body["tags"]
    assert (made.id, made.state, dict(made.tags)) == ("3164444", NodeState.PENDING, TAGS)


def test_digitalocean_offers_have_hourly_prices(ocean) -> None:
    (offer,) = ocean.list_offers()
    assert offer.key == "ocean/fra1/s-1vcpu-1gb"
    assert offer.price is not None
    assert offer.price.per_hour == Decimal("0.00893")


def test_a_call_ends_in_time_even_where_the_constructor_takes_no_timeout(ocean) -> None:
    assert ocean.driver.connection.connection.session.timeout == 5


def test_digitalocean_can_be_stopped_and_started(ocean) -> None:
    assert abilities(ocean) == {"start_node", "stop_node", "reboot_node"}
