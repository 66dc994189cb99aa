"""What agents are told of their template: the same each time, fresh soon, and still there while the store is away."""

from __future__ import annotations

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from spoken import Estate

from cloudmon.channel import configs
from cloudmon.channel.configs import FRESH_S, Configs
from cloudmon.errors import StoreUnavailable
from cloudmon.malware import Signatures
from cloudmon.model.sets import Application, Job, Template
from cloudmon.settings import MalwareSettings

TEMPLATE = Template(
    "web",
    {"*": "image-1"},
    applications={"shop": Application(start=("shopd", "-f"), match="shopd", package="shop", probe={"tcp": 80})},
    files=("/etc/shop.conf",),
    jobs={"backup": Job(("backup", "--all"), 600)},
    report_interval_s=5,
)


def test_a_template_is_told_as_the_protocol_says() -> None:
    found = configs.of_template(TEMPLATE)
    assert found.content == {
        "v": 1,
        "interval_s": 5,
        "applications": {
            "shop": {
                "start": ["shopd", "-f"], "stop": [], "service": "", "match": "shopd", "package": "shop",
                "probe": {"tcp": 80},
            }
        },
        "files": ["/etc/shop.conf"],
        "jobs": {"backup": {"argv": ["backup", "--all"], "timeout_s": 600}},
        "accounts": {},
        "peers": {},
    }  # fmt: skip
    text = json.dumps(found.content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found.hash == hashlib.sha256(text.encode()).hexdigest()
    assert configs.of_template(TEMPLATE) == found


def test_nobody_reports_more_often_than_the_channel_bears() -> None:
    assert configs.of_template(TEMPLATE, least_interval_s=10).interval_s == 10
    assert configs.of_template(TEMPLATE, least_interval_s=1).interval_s == 5


def test_a_set_is_read_once_for_all_its_agents_until_it_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    estate = Estate()
    reads: list[str] = []
    get = estate.store.sets.get

    def counted(scope: Any, uid: str) -> Any:
        reads.append(uid)
        return get(scope, uid)

    monkeypatch.setattr(estate.store.sets, "get", counted)

    async def story() -> None:
        found = Configs(estate.store, executor, estate.clock, least_interval_s=1)
        many = await asyncio.gather(*(found.of(estate.aset.uid) for _ in range(10)))
        assert len({one.hash for one in many if one is not None}) == 1
        assert len(reads) == 1
        estate.clock.advance(FRESH_S - 1)
        await found.of(estate.aset.uid)
        assert len(reads) == 1
        estate.clock.advance(1)
        await found.of(estate.aset.uid)
        assert len(reads) == 2
        assert await found.of("nowhere") is None

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    estate.close()


def test_while_the_store_is_away_the_last_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    estate = Estate()

    def away(*_: Any) -> Any:
        raise StoreUnavailable

    async def story() -> None:
        found = Configs(estate.store, executor, estate.clock, least_interval_s=1)
        before = await found.of(estate.aset.uid)
        monkeypatch.setattr(estate.store.sets, "get", away)
        estate.clock.advance(FRESH_S)
        assert await found.of(estate.aset.uid) == before
        with pytest.raises(StoreUnavailable):
            await found.of("unknown")

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    estate.close()


def test_what_to_look_for_is_part_of_it_and_changes_its_hash() -> None:
    """Signatures by their hash only: they are fetched, and a configuration stays small."""
    settings = MalwareSettings(paths=("/srv",)).knowing(Signatures({"a" * 64: "Test.Sample"}))
    found = configs.of_template(TEMPLATE, looks_for=settings)
    told = found.content["malware"]
    assert (told["signatures"], told["size"]) == (settings.known.hash, len(settings.known.text))
    assert (told["paths"], told["interval_s"]) == (["/srv"], 3600)
    other = settings.knowing(Signatures({"b" * 64: "Test.Sample"}))
    assert (
        len(
            {one.hash for one in (found, configs.of_template(TEMPLATE), configs.of_template(TEMPLATE, looks_for=other))}
        )
        == 3
    )
