"""Prices of Linux on-demand instances: AWS's own first, then the operator's list, then libcloud's old table; and those
of spot instances, which only AWS knows, zone by zone.

A price has a source and a date, and zero is no price. What none of the three knows stays unknown.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from libcloud.pricing import DEFAULT_PRICING_FILE_PATH, get_pricing

from cloudmon.model.offers import Price
from cloudmon_providers.aws.options import PriceList

LIBCLOUD_DATED: Final = dt.date(2025, 3, 2)
"""When the table was made that libcloud 3.9 ships."""

FILTERS: Final[Mapping[str, str]] = {
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}

SPOT_PRODUCTS: Final = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")


def endpoint_region(region: str) -> str:
    """Where the Pricing API answers for a region: it lives in few."""
    return "cn-northwest-1" if region.startswith("cn-") else "us-east-1"


def of_aws(client: Any, region: str) -> dict[str, Price]:
    """Price by instance type in one region, from GetProducts; ``client`` is boto3's for ``pricing``."""
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in FILTERS.items()]
    filters.append({"Type": "TERM_MATCH", "Field": "regionCode", "Value": region})
    pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    return dict(_products(text for page in pages for text in page["PriceList"]))


def of_spot(ec2: Any, region: str, now: dt.datetime, asked: Mapping[str, Any]) -> dict[tuple[str, str], Price]:
    """Spot price by instance type and zone as it is ``now``; ``ec2`` is boto3's client, ``asked`` narrows its answer.

    A price is dated by the day since which it holds.
    """
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        StartTime=now, ProductDescriptions=list(SPOT_PRODUCTS), **asked
    )
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for found in (found for page in pages for found in page["SpotPriceHistory"]):
        place = (str(found["InstanceType"]), str(found["AvailabilityZone"]))
        if place not in newest or newest[place]["Timestamp"] < found["Timestamp"]:
            newest[place] = found
    prices = {}
    for place, found in newest.items():
        try:
            per_hour = Decimal(found["SpotPrice"])
        except InvalidOperation:
            continue
        if per_hour.is_finite() and per_hour > 0:
            prices[place] = Price(per_hour, _currency(region), "aws-spot", found["Timestamp"].date())
    return prices


def of_list(prices: PriceList | None) -> dict[str, Price]:
    """The operator's own list."""
    if prices is None:
        return {}
    return {
        size: Price(per_hour, prices.currency, "config", prices.dated)
        for size, per_hour in prices.per_hour.items()
        if per_hour > 0
    }


def of_libcloud(region: str) -> dict[str, Price]:
    """libcloud's table, a sixth of whose cells are zero: those are unknown."""
    # Its own file by name, since without it libcloud looks into the home folder for one of unknown date.
    table = get_pricing("compute", "ec2_linux", pricing_file_path=DEFAULT_PRICING_FILE_PATH) or {}
    found = {}
    for size, by_region in table.items():
        per_hour = Decimal(str(by_region.get(region) or 0))
        if per_hour > 0:
            found[size] = Price(per_hour, _currency(region), "libcloud", LIBCLOUD_DATED)
    return found


def _currency(region: str) -> str:
    return "CNY" if region.startswith("cn-") else "USD"


def _products(texts: Iterable[str]) -> Iterator[tuple[str, Price]]:
    """Size and price of each product that reads; one odd product never loses the others."""
    for text in texts:
        try:
            product = json.loads(text)
            size = str(product["product"]["attributes"]["instanceType"])
            dated = dt.datetime.fromisoformat(product["publicationDate"]).date()
            price = _on_demand(product, dated)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
            continue
        if price is not None:
            yield size, price


def _on_demand(product: Mapping[str, Any], dated: dt.date) -> Price | None:
    for term in product["terms"]["OnDemand"].values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] != "Hrs":
                continue
            for currency, per_hour in dimension["pricePerUnit"].items():
                amount = Decimal(per_hour)
                if amount.is_finite() and amount > 0:
                    return Price(amount, currency, "aws-pricing", dated)
    return None
