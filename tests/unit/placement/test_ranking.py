"""Which offer is taken, and why the others are not."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon import placement
from cloudmon.model.offers import Choice, Offer, Price
from cloudmon.model.sets import Needs

NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
ANY = {"*": "img"}


def priced(amount: str, currency: str = "USD") -> Price:
    return Price(Decimal(amount), currency, "test", NOW.date())


SMALL = Offer("east", "small", "a", vcpus=1, memory_mib=1_024, disk_gib=10, price=priced("0.05"))
MEDIUM = Offer("east", "medium", "a", vcpus=2, memory_mib=4_096, disk_gib=40, price=priced("0.10"))
LARGE = Offer("west", "large", "b", vcpus=4, memory_mib=8_192, disk_gib=80, price=priced("0.20"))
SHOP = (SMALL, MEDIUM, LARGE)


def rank(*offers: Offer, needs: Needs | None = None, **more: object) -> tuple[Choice, ...]:
    arguments: dict[str, object] = {"clouds": (), "images": ANY, "excluded": {}, "now": NOW, **more}
    return placement.rank(needs or Needs(), offers=offers, **arguments)  # type: ignore[arg-type]


def taken(choices: tuple[Choice, ...]) -> list[str]:
    return [choice.offer.size for choice in choices if choice.fits]


ORDER = [
    pytest.param(["small", "medium", "large"], Needs(), SHOP, id="cheapest first"),
    pytest.param(["medium", "large"], Needs(vcpus=2), SHOP, id="too few vcpus lose"),
    pytest.param(["small"], Needs(), (replace(SMALL, vcpus=0),), id="every machine has one processor"),
    pytest.param([], Needs(vcpus=2), (replace(SMALL, vcpus=0),), id="an unknown number meets no greater need"),
    pytest.param(["large"], Needs(memory_mib=5_000), SHOP, id="too little memory loses"),
    pytest.param(["large"], Needs(disk_gib=41), SHOP, id="too little disk loses"),
    pytest.param(["large"], Needs(locations=("b",)), SHOP, id="other locations lose"),
    pytest.param(["medium"], Needs(sizes=("medium",)), SHOP, id="other sizes lose"),
    pytest.param(
        ["small", "medium"], Needs(max_price_per_hour=Decimal("0.10")), SHOP, id="the highest price is allowed"
    ),
    pytest.param(
        ["medium"],
        Needs(max_price_per_hour=Decimal("0.10")),
        (replace(SMALL, price=None), MEDIUM),
        id="an unknown price loses against a limit",
    ),
    pytest.param(["large", "small"], Needs(), (replace(SMALL, price=None), LARGE), id="an unknown price ranks last"),
    pytest.param(
        ["large", "small"],
        Needs(),
        (replace(SMALL, price=priced("0.01", "EUR")), LARGE),
        id="another currency is unknown",
    ),
    pytest.param(
        ["small", "large"],
        Needs(currency="EUR"),
        (replace(SMALL, price=priced("0.01", "EUR")), LARGE),
        id="the currency asked for counts",
    ),
    pytest.param(
        ["large", "small"],
        Needs(),
        (replace(SMALL, guaranteed_until=NOW), LARGE),
        id="a price past its guarantee is unknown",
    ),
    pytest.param(
        ["small", "large"],
        Needs(),
        (replace(SMALL, guaranteed_until=NOW + dt.timedelta(seconds=1)), LARGE),
        id="a guarantee holds until its end",
    ),
    pytest.param(
        ["small"], Needs(), (SMALL, replace(MEDIUM, spot=True, price=priced("0.01"))), id="spot loses unless allowed"
    ),
    pytest.param(
        ["medium", "small"],
        Needs(spot=True),
        (SMALL, replace(MEDIUM, spot=True, price=priced("0.01"))),
        id="spot that is allowed ranks by price",
    ),
    pytest.param(
        ["small"],
        Needs(architecture="arm64"),
        (replace(SMALL, architecture="arm64"), MEDIUM),
        id="other processors lose",
    ),
    pytest.param(["medium"], Needs(), (replace(SMALL, capacity=0), MEDIUM), id="none left"),
    pytest.param(["small", "medium"], Needs(), (replace(SMALL, capacity=1), MEDIUM), id="one left"),
    pytest.param(
        ["medium", "small"],
        Needs(preferred_vcpus=2),
        (replace(SMALL, price=priced("0.10")), MEDIUM),
        id="of equal price the one that meets the wish",
    ),
    pytest.param(["small", "medium"], Needs(preferred_vcpus=2), (SMALL, MEDIUM), id="a wish never beats a price"),
    pytest.param(
        ["large", "medium", "small"],
        Needs(preferred_vcpus=2, preferred_memory_mib=8_000),
        tuple(replace(offer, price=None) for offer in SHOP),
        id="more wishes met rank higher",
    ),
    pytest.param(
        ["small", "medium", "large"],
        Needs(),
        tuple(replace(offer, price=priced("0.10")) for offer in SHOP),
        id="of equal price the one with least to spare",
    ),
    pytest.param([], Needs(vcpus=64), SHOP, id="nothing fits"),
    pytest.param([], Needs(), (), id="no offers"),
]


@pytest.mark.parametrize(("expected", "needs", "offers"), ORDER)
def test_offers_are_ranked(expected: list[str], needs: Needs, offers: tuple[Offer, ...]) -> None:
    assert taken(rank(*offers, needs=needs)) == expected


def test_only_the_sets_clouds_are_taken() -> None:
    assert taken(rank(*SHOP, clouds={"west"})) == ["large"]


def test_a_cloud_without_an_image_is_not_taken() -> None:
    assert taken(rank(*SHOP, images={"west": "img"})) == ["large"]


def test_the_last_resort_is_the_key() -> None:
    twin = replace(SMALL, location="b")
    assert [c.offer.location for c in rank(twin, SMALL)] == ["a", "b"]


def test_an_excluded_offer_loses_and_says_why() -> None:
    choices = rank(*SHOP, excluded={"east/a/small": "OutOfCapacity at 12:00"})
    assert taken(choices) == ["medium", "large"]
    assert choices[-1].reason == "not now: OutOfCapacity at 12:00"


def test_a_loser_tells_everything_that_it_lacks_and_the_nearest_stands_first() -> None:
    choices = rank(*SHOP, needs=Needs(vcpus=2, memory_mib=9_000))
    assert [c.reason for c in choices] == [
        "4096 of 9000 MiB of memory",
        "8192 of 9000 MiB of memory",
        "1 of 2 vcpus; 1024 of 9000 MiB of memory",
    ]


def test_a_winner_tells_its_place_its_price_and_the_wishes_it_misses() -> None:
    (choice,) = rank(SMALL, needs=Needs(preferred_vcpus=2))
    assert choice.reason == "1 of 1 that fit: 0.05 USD an hour; 1 of 2 preferred vcpus; 0 vcpus and 1024 MiB to spare"


def test_the_same_key_twice_is_one_choice_whatever_the_order() -> None:
    dear = replace(SMALL, price=priced("9"))
    assert rank(SMALL, dear) == rank(dear, SMALL)
    assert len(rank(SMALL, dear)) == 1


OFFERS = st.builds(
    Offer,
    cloud=st.sampled_from(["east", "west", "moon"]),
    size=st.sampled_from(["s", "m", "l"]),
    location=st.sampled_from(["a", "b"]),
    vcpus=st.integers(1, 8),
    memory_mib=st.integers(0, 8).map(lambda gib: gib * 1_024),
    disk_gib=st.integers(0, 100),
    price=st.none()
    | st.builds(
        Price,
        per_hour=st.decimals("0.01", "9", places=2),
        currency=st.sampled_from(["USD", "EUR"]),
        source=st.just("test"),
        dated=st.just(NOW.date()),
    ),
    capacity=st.none() | st.integers(0, 2),
    guaranteed_until=st.none() | st.sampled_from([NOW - dt.timedelta(days=1), NOW, NOW + dt.timedelta(days=1)]),
    spot=st.booleans(),
    architecture=st.sampled_from(["x86_64", "arm64"]),
)
NEEDS = st.builds(
    Needs,
    vcpus=st.integers(0, 4),
    memory_mib=st.integers(0, 4_096),
    disk_gib=st.integers(0, 50),
    preferred_vcpus=st.none() | st.integers(1, 8),
    architecture=st.none() | st.sampled_from(["x86_64", "arm64"]),
    spot=st.booleans(),
    max_price_per_hour=st.none() | st.decimals("0.01", "9", places=2),
    sizes=st.sampled_from([(), ("s",), ("s", "m")]),
    locations=st.sampled_from([(), ("a",)]),
)
CLOUDS = st.sets(st.sampled_from(["east", "west"]))
IMAGES = st.sampled_from([ANY, {"east": "i"}, {"west": "i", "moon": "i"}])
LISTS = st.lists(OFFERS, max_size=12)
KEYS = st.sets(st.sampled_from([f"{c}/{p}/{s}" for c in ("east", "west") for p in "ab" for s in "sml"]), max_size=6)


@given(needs=NEEDS, offers=LISTS, clouds=CLOUDS, images=IMAGES, keys=KEYS)
def test_no_limit_is_ever_violated(
    needs: Needs, offers: list[Offer], clouds: set[str], images: dict[str, str], keys: set[str]
) -> None:
    for choice in rank(*offers, needs=needs, clouds=clouds, images=images, excluded=dict.fromkeys(keys, "failed")):
        offer, price = choice.offer, choice.offer.price
        allowed = (
            (not clouds or offer.cloud in clouds)
            and ("*" in images or offer.cloud in images)
            and offer.key not in keys
            and offer.vcpus >= needs.vcpus
            and offer.memory_mib >= needs.memory_mib
            and offer.disk_gib >= needs.disk_gib
            and offer.architecture in (needs.architecture or offer.architecture)
            and (needs.spot or not offer.spot)
            and offer.size in (needs.sizes or (offer.size,))
            and offer.location in (needs.locations or (offer.location,))
            and offer.capacity != 0
        )
        known = price is not None and price.currency == "USD"
        known = known and (offer.guaranteed_until is None or offer.guaranteed_until > NOW)
        if needs.max_price_per_hour is not None:
            allowed = allowed and known and price is not None and price.per_hour <= needs.max_price_per_hour
        assert choice.fits == allowed


@given(needs=NEEDS, offers=LISTS)
def test_the_cheapest_that_fits_is_first_and_unknown_prices_are_last(needs: Needs, offers: list[Offer]) -> None:
    fitting = [choice.offer for choice in rank(*offers, needs=needs) if choice.fits]
    prices = [
        offer.price.per_hour
        if offer.price
        and offer.price.currency == "USD"
        and (offer.guaranteed_until is None or offer.guaranteed_until > NOW)
        else Decimal("Infinity")
        for offer in fitting
    ]
    assert prices == sorted(prices)


@given(needs=NEEDS, offers=LISTS, keys=KEYS, data=st.data())
def test_the_order_of_the_offers_changes_nothing(
    needs: Needs, offers: list[Offer], keys: set[str], data: st.DataObject
) -> None:
    excluded = dict.fromkeys(keys, "failed")
    shuffled = data.draw(st.permutations(offers))
    assert rank(*offers, needs=needs, excluded=excluded) == rank(*shuffled, needs=needs, excluded=excluded)


@given(needs=NEEDS, offers=LISTS, keys=KEYS)
def test_every_offer_stands_somewhere_once_with_a_reason_and_losers_after_winners(
    needs: Needs, offers: list[Offer], keys: set[str]
) -> None:
    choices = rank(*offers, needs=needs, excluded=dict.fromkeys(keys, ""))
    assert sorted(choice.offer.key for choice in choices) == sorted({offer.key for offer in offers})
    assert all(choice.reason.strip() for choice in choices)
    assert [choice.fits for choice in choices] == sorted((choice.fits for choice in choices), reverse=True)
