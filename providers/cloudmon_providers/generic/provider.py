"""Any libcloud compute driver as a provider, by configuration alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from libcloud.compute.base import NodeDriver, NodeSize

from cloudmon import errors
from cloudmon.model.nodes import ENDING, Node, NodeRequest
from cloudmon.model.offers import Offer, Price
from cloudmon_providers._libcloud import LibcloudProvider
from cloudmon_providers.generic import drivers, proof, reading, templates
from cloudmon_providers.generic.catalogue import Catalogue
from cloudmon_providers.generic.options import GenericOptions

MONTH_H: Final = 730
"""Hours of a month, as clouds count them."""


class GenericProvider(LibcloudProvider):
    """One cloud behind any driver. What the driver calls things stands in the options."""

    settings_model: ClassVar[type] = GenericOptions

    def __init__(self, cloud: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:
        self._options = GenericOptions.model_validate(options)
        self._constructor = drivers.find(self._options.driver)
        driver_class = drivers.settled(self._constructor, self._options.constructor_arguments())
        verbs = drivers.verbs(driver_class, self._options.verbs)
        super().__init__(cloud, now=now, driver_class=driver_class, dialect=reading.dialect(self._options, verbs))
        self._timeout_s = timeout_s
        self._catalogue: Catalogue | None = None

    def connect(self) -> NodeDriver:
        return drivers.make(self._constructor, self._options.constructor_arguments(), timeout_s=self._timeout_s)

    def reset(self) -> None:
        super().reset()
        self._catalogue = None

    @property
    def catalogue(self) -> Catalogue:
        """What the connected driver sells."""
        if self._catalogue is None:
            self._catalogue = Catalogue(self.cloud, self.driver, self._options)
        return self._catalogue

    def read(self, answer: object) -> list[Node]:
        if isinstance(answer, list | tuple):
            answer = [reading.lay_out(node, self._options) for node in answer]
        return super().read(answer)

    def pages(self) -> Iterable[Sequence[Node]]:
        driver: Any = self.driver
        with proof.of(driver, self._options.listing_root, cloud=self.cloud):
            answer = driver.list_nodes(**self._options.list_arguments)
        yield self.read(answer)

    def find(self, node_id: str) -> Node | None:
        method = self._method("get_node")
        if method is None:
            return super().find(node_id)
        answer = method(node_id)
        return None if answer is None else self._made(answer)

    def reference(self, node_id: str) -> Any:
        if self._options.reference == "thin":
            return super().reference(node_id)
        driver: Any = self.driver
        for node in driver.list_nodes(**self._options.list_arguments):
            if str(node.id) == node_id:
                return node
        raise errors.NotFound(f"{self.cloud}: there is no node {node_id}", cloud=self.cloud)

    def call(self, verb: str, node_id: str, *arguments: object) -> None:
        if verb == "tag_node":
            tags = cast("Mapping[str, str]", arguments[0])
            arguments = (templates.spelt(tags, self._options.tag_separator),)
        super().call(verb, node_id, *arguments)

    def launch(self, request: NodeRequest) -> Node:
        options = self._options
        values = templates.values(request, tag_separator=options.tag_separator, pair_separator=options.pair_separator)
        arguments = self.create_arguments(request)
        if options.identity_in_create:
            made = self._made(self.driver.create_node(**arguments))
        else:
            # A node that an earlier call made, and that was not tagged any more, can only be told by its name.
            made = self._named(arguments["name"], request.token) or self._made(self.driver.create_node(**arguments))
        if options.tag_after_create is not None and not request.tags.items() <= made.tags.items():
            self._tag_after(made, values)
        return made

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        """The create call's arguments: ours first, then the template's, which must not touch whose node it is."""
        options = self._options
        values = templates.values(request, tag_separator=options.tag_separator, pair_separator=options.pair_separator)
        own = {
            argument: templates.render(template, values)
            for argument, template in options.create.items()
            if request.user_data or template not in ("{user_data}", "{user_data_base64}")
        }
        given = templates.render(request.options or {}, values)
        fixed = {argument for argument in own if templates.placeholders(options.create[argument]) & templates.IDENTITY}
        for argument in given:
            if argument in fixed or argument in ("name", "size", "image", "location"):
                raise errors.Refused(f"{self.cloud}: template option {argument} is cloudmon's own", cloud=self.cloud)
        create = self._driver_class.create_node
        arguments = {**own, **given}
        for argument in arguments:
            if not drivers.takes(create, argument):
                raise errors.Refused(f"{self.cloud}: create_node takes no {argument}", cloud=self.cloud)
        arguments["name"] = templates.render(options.name, values)
        offer = request.offer
        for kind, wanted in (("size", offer.size), ("image", request.image), ("location", offer.location)):
            if wanted and drivers.takes(create, kind):
                arguments[kind] = self.catalogue.object(kind, wanted, offer)
        return arguments

    def offers(self) -> Sequence[Offer]:
        found = []
        for size, place in self.catalogue.all_allowed():
            offer = self._offer(size, place)
            # Some drivers have a size of their own kind, with the count as its attribute.
            vcpus = offer.vcpus or int(getattr(size, "vcpus", None) or 0)
            found.append(replace(offer, vcpus=vcpus, price=self._price(size)))
        return found

    # --- inside ----------------------------------------------------------------------------------------------------

    def _made(self, answer: Any) -> Node:
        """A driver's answer as one node."""
        if isinstance(answer, list | tuple) and len(answer) == 1:
            answer = answer[0]
        return self._one(reading.lay_out(answer, self._options))

    def _named(self, name: str, token: str) -> Node | None:
        """The living node of this name that is not another token's, the oldest if there are several."""
        found = [
            node
            for page in self.pages()
            for node in page
            if node.name == name and node.token in (None, token) and node.state not in ENDING
        ]
        return min(found, key=lambda node: (node.created_at or self._now(), node.id), default=None)

    def _tag_after(self, node: Node, values: Mapping[str, Any]) -> None:
        after = self._options.tag_after_create
        assert after is not None  # noqa: S101 - the caller asked
        try:
            with self._translating("create_node"):
                arguments = templates.render(after.arguments, {**values, "node": self.reference(node.id)})
                getattr(self.driver, after.method)(**arguments)
        except errors.CloudError as error:
            # The node is there: whatever kind of error this was, nobody may take it for "nothing was made".
            raise errors.UnexpectedAnswer(
                f"{self.cloud}: node {node.id} was made, but not tagged: {error}", cloud=self.cloud, code=error.code
            ) from error

    def _price(self, size: NodeSize) -> Price | None:
        prices = self._options.prices
        if prices is None or not size.price or size.price < 0:
            return None
        per = Decimal(str(size.price))
        per_hour = per if prices.per == "hour" else (per / MONTH_H).quantize(Decimal("0.000001"))
        return Price(per_hour, prices.currency, "libcloud", prices.dated or self._now().date())
