"""Instance types in zones as offers, with prices from AWS in their genuine form, the operator's list, or libcloud."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from functools import cache

import boto3
import pytest
from botocore.stub import Stubber

from cloudmon import errors
from cloudmon.model.offers import Offer, Price
from cloudmon_providers.aws import boto, prices


def kind(name: str, architecture: str = "x86_64", **more: object) -> dict[str, object]:
    return {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 8_192},
        "ProcessorInfo": {"SupportedArchitectures": [architecture]},
        **more,
    }


def place(name: str, zone: str) -> dict[str, str]:
    return {"InstanceType": name, "LocationType": "availability-zone", "Location": zone}


def history(name: str, zone: str, price: str, at: str = "2026-11-01T11:00:00Z") -> dict[str, object]:
    """One line of the spot price history."""
    return {
        "InstanceType": name,
        "AvailabilityZone": zone,
        "SpotPrice": price,
        "ProductDescription": "Linux/UNIX",
        "Timestamp": dt.datetime.fromisoformat(at),
    }


def product(size: str, per_hour: str, *, unit: str = "Hrs", dated: str = "2026-10-15T18:29:26Z") -> str:
    """One element of GetProducts' PriceList, as AWS writes it."""
    code = "KJVZ2PZUVQEFVN4R.JRTCKXETXF"
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "description": f"${per_hour} per On Demand Linux {size} Instance Hour",
        "appliesTo": [],
        "rateCode": f"{code}.6YS6EN2CT7",
        "beginRange": "0",
        "pricePerUnit": {"USD": per_hour},
    }
    return json.dumps(
        {
            "product": {
                "productFamily": "Compute Instance",
                "attributes": {
                    "instanceType": size,
                    "regionCode": "us-east-1",
                    "operatingSystem": "Linux",
                    "tenancy": "Shared",
                    "usagetype": f"BoxUsage:{size}",
                },
                "sku": "KJVZ2PZUVQEFVN4R",
            },
            "serviceCode": "AmazonEC2",
            "terms": {
                "OnDemand": {
                    code: {
                        "priceDimensions": {f"{code}.6YS6EN2CT7": dimension},
                        "sku": "KJVZ2PZUVQEFVN4R",
                        "effectiveDate": "2026-10-01T00:00:00Z",
                        "offerTermCode": "JRTCKXETXF",
                        "termAttributes": {},
                    }
                },
                "Reserved": {},
            },
            "version": "20261015182926",
            "publicationDate": dated,
        }
    )


@cache
def session() -> boto3.session.Session:
    """One for all: each reads what it knows of EC2 anew, and that is a lot."""
    return boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")


class Answers:
    """boto3's own clients with botocore's stubs in them."""

    def __init__(self) -> None:
        self.regions: dict[str, str] = {}
        self.clients = {}
        self.stubs = {}
        for service in ("ec2", "pricing"):
            client = session().client(service)
            self.clients[service] = client
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()

    def client(self, service, region, credentials, *, endpoint, timeout_s):
        self.regions[service] = region
        return self.clients[service]

    def sells(self, *kinds, places=(), spot=()):
        self.stubs["ec2"].add_response("describe_instance_types", {"InstanceTypes": list(kinds)})
        self.stubs["ec2"].add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": list(places)})
        self.stubs["ec2"].add_response("describe_spot_price_history", {"SpotPriceHistory": list(spot)})

    def costs(self, *texts: str, following: str | None = None) -> None:
        more = {"NextToken": following} if following else {}
        self.stubs["pricing"].add_response("get_products", {"PriceList": list(texts), **more})


@pytest.fixture
def answers(monkeypatch) -> Answers:
    found = Answers()
    monkeypatch.setattr(boto, "client", found.client)
    return found


NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
M5 = Offer("east", "m5.large", "us-east-1a", 2, 8_192, 8)


def test_an_offer_is_a_type_in_a_zone_with_the_price_aws_published(make, answers) -> None:
    answers.sells(kind("m5.large"), places=[place("m5.large", "us-east-1b"), place("m5.large", "us-east-1a")])
    answers.costs(product("m5.large", "0.0960000000"))
    price = Price(Decimal("0.0960000000"), "USD", "aws-pricing", dt.date(2026, 10, 15))
    found = make(pricing=True).list_offers()
    assert [(offer.location, offer.price) for offer in found] == [("us-east-1a", price), ("us-east-1b", price)]
    assert (found[0].vcpus, found[0].memory_mib, found[0].disk_gib, found[0].architecture) == (2, 8_192, 8, "x86_64")


def test_prices_come_in_pages_and_an_odd_product_loses_only_itself(answers) -> None:
    answers.costs(product("m5.large", "0.096"), "{}", "no JSON", json.dumps({"product": 3}), following="more")
    answers.costs(product("c5.large", "0.085"), product("x1.large", "NaN"), product("y1.large", "nonsense"))
    found = prices.of_aws(answers.clients["pricing"], "us-east-1")
    assert {size: price.per_hour for size, price in found.items()} == {
        "m5.large": Decimal("0.096"),
        "c5.large": Decimal("0.085"),
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(product("z9.large", "0.0000000000"), id="zero"),
        pytest.param(product("z9.large", "-1"), id="negative"),
        pytest.param(product("z9.large", "0.1", unit="Quantity"), id="not by the hour"),
    ],
)
def test_zero_is_no_price(make, answers, text) -> None:
    answers.sells(kind("z9.large"), places=[place("z9.large", "us-east-1a")])
    answers.costs(text)
    assert [offer.price for offer in make(pricing=True).list_offers()] == [None]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalErrorException"])
def test_an_error_of_pricing_costs_prices_and_never_offers(make, answers, code, caplog) -> None:
    answers.sells(kind("z9.large"), places=[place("z9.large", "us-east-1a")])
    for _ in range(3):
        answers.stubs["pricing"].add_client_error("get_products", code, "words", 400)
    assert [offer.price for offer in make(pricing=True).list_offers()] == [None]
    assert "no prices from AWS" in caplog.text


def test_what_can_be_had_as_spot_is_offered_as_spot_too_at_its_price_of_now(make, answers) -> None:
    answers.sells(
        kind("m5.large"),
        places=[place("m5.large", "us-east-1a"), place("m5.large", "us-east-1b")],
        spot=[
            history("m5.large", "us-east-1a", "0.0400", "2026-10-31T11:00:00Z"),
            history("m5.large", "us-east-1a", "0.0311", "2026-11-01T11:00:00Z"),
            history("m5.large", "us-east-1a", "0.0500", "2026-10-30T11:00:00Z"),
        ],
    )
    on_demand, spot, elsewhere = make().list_offers()
    assert (on_demand.key, elsewhere.key) == ("east/us-east-1a/m5.large", "east/us-east-1b/m5.large")
    assert (spot.key, spot.spot) == ("east/us-east-1a/m5.large/spot", True)
    assert spot.price == Price(Decimal("0.0311"), "USD", "aws-spot", dt.date(2026, 11, 1))
    assert (spot.vcpus, spot.memory_mib, spot.guaranteed_until) == (2, 8_192, None)


@pytest.mark.parametrize(
    ("kinds", "spot"),
    [
        pytest.param([kind("m5.large")], [], id="no price"),
        pytest.param([kind("m5.large")], [history("m5.large", "us-east-1a", "0.0")], id="zero"),
        pytest.param([kind("m5.large")], [history("m5.large", "us-east-1a", "nonsense")], id="no number"),
        pytest.param([kind("m5.large")], [history("m5.large", "us-east-1f", "0.03")], id="a zone that is not sold"),
        pytest.param([kind("m5.large")], [history("c5.large", "us-east-1a", "0.03")], id="a type that is not sold"),
        pytest.param(
            [kind("m5.large", SupportedUsageClasses=["on-demand"])],
            [history("m5.large", "us-east-1a", "0.03")],
            id="a type that is not sold as spot",
        ),
    ],
)
def test_spot_without_a_price_is_no_offer(make, answers, kinds, spot) -> None:
    answers.sells(*kinds, places=[place("m5.large", "us-east-1a")], spot=spot)
    assert [offer.key for offer in make().list_offers()] == ["east/us-east-1a/m5.large"]


def test_the_spot_prices_of_now_are_asked_for_and_of_what_is_allowed_only(make, answers) -> None:
    filters = [{"Name": "instance-type", "Values": ["m5.large"]}]
    answers.stubs["ec2"].add_response("describe_instance_types", {"InstanceTypes": [kind("m5.large")]})
    answers.stubs["ec2"].add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": []})
    answers.stubs["ec2"].add_response(
        "describe_spot_price_history",
        {"SpotPriceHistory": []},
        {"StartTime": NOW, "ProductDescriptions": ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"], "Filters": filters},
    )
    make(instance_types=("m5.large",)).list_offers()
    answers.stubs["ec2"].assert_no_pending_responses()


def test_who_wants_no_spot_does_not_ask_for_its_prices(make, answers) -> None:
    answers.sells(
        kind("m5.large"),
        places=[place("m5.large", "us-east-1a")],
        spot=[history("m5.large", "us-east-1a", "0.03")],
    )
    assert [offer.spot for offer in make(spot=False).list_offers()] == [False]
    assert len(answers.stubs["ec2"]._queue) == 1


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "RequestLimitExceeded", "InternalError"])
def test_spot_prices_that_cannot_be_had_cost_spot_offers_and_no_others(make, answers, code, caplog) -> None:
    answers.stubs["ec2"].add_response("describe_instance_types", {"InstanceTypes": [kind("m5.large")]})
    places = [place("m5.large", "us-east-1a")]
    answers.stubs["ec2"].add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": places})
    for _ in range(3):
        answers.stubs["ec2"].add_client_error("describe_spot_price_history", code, "words", 400)
    assert [offer.spot for offer in make().list_offers()] == [False]
    assert "no spot offers" in caplog.text


def test_the_operators_list_steps_in_before_the_old_table_of_libcloud(make, answers) -> None:
    answers.sells(
        kind("m5.large"), kind("c5.large"), places=[place("m5.large", "us-east-1a"), place("c5.large", "us-east-1a")]
    )
    price_list = {"dated": "2026-09-01", "currency": "EUR", "per_hour": {"m5.large": "0.07", "z9.large": "0"}}
    c5, m5 = (offer.price for offer in make(price_list=price_list).list_offers())
    assert m5 == Price(Decimal("0.07"), "EUR", "config", dt.date(2026, 9, 1))
    assert c5 is not None
    assert (c5.source, c5.dated) == ("libcloud", dt.date(2025, 3, 2))


def test_a_zero_in_the_table_of_libcloud_is_unknown() -> None:
    assert "m5.large" in prices.of_libcloud("us-east-1")
    assert "m5.large" not in prices.of_libcloud("ap-south-1")  # its cell holds 0.0
    assert prices.of_libcloud("xx-nowhere-1") == {}


def test_only_allowed_types_and_zones_are_offered(make, answers) -> None:
    zones = [place(size, zone) for size in ("m5.large", "c5.large") for zone in ("us-east-1a", "us-east-1b")]
    answers.sells(kind("m5.large"), kind("c5.large"), places=zones)
    found = make(instance_types=("m5.*",), subnets={"us-east-1b": "subnet-b"}).list_offers()
    assert [offer.key for offer in found] == ["east/us-east-1b/m5.large"]


def test_macs_are_not_offered_and_arm_says_so(make, answers) -> None:
    answers.sells(
        kind("mac1.metal", "x86_64_mac"),
        kind("m7g.large", "arm64"),
        places=[place("mac1.metal", "us-east-1a"), place("m7g.large", "us-east-1a")],
    )
    assert [(offer.size, offer.architecture) for offer in make().list_offers()] == [("m7g.large", "arm64")]


def test_a_region_that_sells_nothing_is_an_unexpected_answer(make, answers) -> None:
    answers.sells()
    with pytest.raises(errors.UnexpectedAnswer, match="no instance type"):
        make().list_offers()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("UnauthorizedOperation", errors.CredentialsRejected),
        ("RequestLimitExceeded", errors.RateLimited),
    ],
)
def test_errors_of_boto3_are_ours(make, answers, code, error) -> None:
    answers.stubs["ec2"].add_client_error("describe_instance_types", code, "words", 400)
    with pytest.raises(error) as caught:
        make().list_offers()
    assert (caught.value.code, caught.value.cloud) == (code, "east")


def test_an_endpoint_that_boto3_cannot_reach_is_unreachable(make) -> None:
    with pytest.raises(errors.Unreachable):
        make(endpoint="http://127.0.0.1:9").list_offers()


@pytest.mark.parametrize(("region", "where"), [("eu-west-1", "us-east-1"), ("cn-north-1", "cn-northwest-1")])
def test_the_pricing_api_is_asked_where_it_lives(make, answers, region, where) -> None:
    answers.sells(kind("m5.large"), places=[place("m5.large", f"{region}a")])
    answers.costs()
    make(pricing=True, region=region).list_offers()
    assert answers.regions == {"ec2": region, "pricing": where}


def test_prices_are_read_off_the_wire(make, ec2) -> None:
    """The whole way once: boto3's own JSON protocol over a socket."""
    ec2.will(
        json.dumps({"FormatVersion": "aws_v1", "PriceList": [product("m5.large", "0.1")]}),
        Content_Type="application/x-amz-json-1.1",
    )
    client = boto.client("pricing", "us-east-1", make()._source.current(), endpoint=ec2.url, timeout_s=5)
    found = prices.of_aws(client, "us-east-1")
    assert found["m5.large"].per_hour == Decimal("0.1")
    wanted = {item["Field"]: item["Value"] for item in json.loads(ec2.asked[0].body)["Filters"]}
    assert wanted == {**prices.FILTERS, "regionCode": "us-east-1"}
