"""``[clouds.<name>.options]`` of a cloud that is reached by configuration alone."""

from __future__ import annotations

import datetime as dt
import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cloudmon import errors
from cloudmon.model.nodes import NodeState
from cloudmon_providers.generic import templates

ERRORS = {
    kind.__name__: kind
    for kind in (
        errors.CredentialsRejected,
        errors.Unreachable,
        errors.RateLimited,
        errors.OutOfCapacity,
        errors.QuotaExceeded,
        errors.NotFound,
        errors.Refused,
        errors.Unsupported,
        errors.UnexpectedAnswer,
    )
}
"""Kinds of errors that ``codes`` may name."""


class Group(BaseModel):
    """What all groups share: values are replaced, never edited, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fields(Group):
    """``[….options.fields]``: where a node of this driver carries what; paths such as ``extra.placement.zone``.

    The first part is an attribute of libcloud's node, the others are keys or attributes below it. Empty: not there.
    """

    tags: str = "extra.tags"
    """Tags, as a table, as a list of ``key<separator>value`` or of ``{key, value}``."""
    location: str = ""
    size: str = "size.id"
    image: str = "image.id"
    created: str = "created_at"
    ended: str = ""
    """When a terminated node ended, for drivers that say so: usage then ends at that instant, even where nobody was
    looking."""
    words: tuple[str, ...] = ()
    """Where the cloud's own words for the state stand, most telling first (``extra.task_state``,
    ``extra.vm_state``); the first one that ``words`` knows wins, and without one libcloud's state does."""


class Prices(Group):
    """``[….options.prices]``: what the driver's own prices mean. Zero is unknown whatever this says."""

    per: Literal["hour", "month"]
    """Drivers give either, and do not say which. A month has 730 hours."""
    currency: str = "USD"
    dated: dt.date | None = None
    """The day they speak of. None: the cloud's API gives them, so today."""


class TagAfter(Group):
    """``[….options.tag_after_create]``: tags written by a second call, for drivers whose create call takes none.

    A crash between the two calls leaves a node that only its name tells of.
    """

    method: str
    """The driver's method, such as ``ex_create_tags``."""
    arguments: dict[str, Any]
    """Its arguments; ``{node}`` is the new node, ``{tags}`` its tags."""
    accept_risk: bool = False
    """Says that names of nodes are given by cloudmon alone: a node found by name is then taken for ours."""


class GenericOptions(Group):
    """Any compute driver of libcloud, or one of another package."""

    driver: str
    """libcloud's name of the provider (``digitalocean``, ``openstack``, ``ec2``), or ``package.module:Class``."""
    key: SecretStr | None = None
    """The driver's first credential; ``key_file`` reads it from a file."""
    secret: SecretStr | None = None
    """The driver's second credential; ``secret_file`` reads it from a file."""
    key_argument: str = "key"
    """Name of the constructor's argument that takes ``key``."""
    secret_argument: str = "secret"  # noqa: S105 - a name
    """Name of the constructor's argument that takes ``secret``."""
    arguments: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Other arguments of the constructor: region, host, project, api_version …"""
    list_arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of ``list_nodes``."""
    listing_root: str = ""
    """Root element or JSON key that an answer to the listing must have, as proof that it is one; with its namespace
    (``{http://…}Name``) where an element has one. Empty: whatever the driver makes of an answer is believed."""
    fields: Fields = Fields()
    words: dict[str, NodeState] = Field(default_factory=dict)
    """State by the cloud's own word, where the driver's map is wrong or silent."""
    name: str = "{name}"
    """Template of the node's name; with ``{token}`` in it the name alone says whose node it is."""
    create: dict[str, Any] = Field(default_factory=dict)
    """Arguments of ``create_node`` beside name, size, image and location, as templates: ``{tags}``, ``{tag_pairs}``,
    ``{tag_items}``, ``{token}``, ``{user_data}``, ``{user_data_base64}``, ``{object:<id>}`` …"""
    honours_tokens: bool = False
    """Whether the same ``{token}`` in two create calls makes one node. Otherwise the listing is searched first."""
    tag_separator: str = ":"
    """Stands for the colon of our tags' keys, where this cloud does not take colons."""
    pair_separator: str = "="
    """Between key and value of ``{tag_pairs}``, and of tags that are listed as such."""
    tag_after_create: TagAfter | None = None
    fetched: tuple[Literal["size", "image", "location"], ...] = ("size", "location")
    """What ``create_node`` gets as the driver's own object, looked up by id; the others as thin references."""
    reference: Literal["thin", "listed"] = "thin"
    """What the driver's verbs get for a node: a thin one that knows its id alone, or the one of the driver's listing,
    for drivers that look at more."""
    location_by: Literal["id", "name"] = "id"
    """What names a location in offers and templates."""
    sizes: tuple[str, ...] = ()
    """Ids of sizes to offer, ``*`` and ``?`` allowed. Empty: all."""
    locations: tuple[str, ...] = ()
    """Locations to offer, ``*`` and ``?`` allowed. Empty: all."""
    prices: Prices | None = None
    """None: all prices are unknown, since drivers mix hours with months and zero with nothing."""
    verbs: dict[str, str] = Field(default_factory=dict)
    """The driver's method by our verb (``suspend_node = "ex_pause_node"``); empty text takes a verb away. What is not
    named is found by looking."""
    codes: dict[str, str] = Field(default_factory=dict)
    """Kind of error by the cloud's own code (``"InvalidInstanceID.NotFound" = "NotFound"``)."""
    empty_503_throttles: bool = False
    """Whether a 503 without a word means "slow down" here, and that nothing was done."""

    @field_validator("driver")
    @classmethod
    def _driver(cls, driver: str) -> str:
        from cloudmon_providers.generic import drivers  # noqa: PLC0415 - libcloud, only for those who use it

        if ":" not in driver and driver.lower() not in drivers.names():
            near = difflib.get_close_matches(driver.lower(), drivers.names(), 1)
            raise ValueError("is no compute driver of libcloud" + (f"; did you mean {near[0]!r}?" if near else ""))
        try:
            drivers.find(driver)
        except errors.Unsupported as error:
            raise ValueError(f"is refused: {error}") from error
        return driver

    @field_validator("codes")
    @classmethod
    def _codes(cls, codes: dict[str, str]) -> dict[str, str]:
        for kind in codes.values():
            if kind not in ERRORS:
                raise ValueError(f"{kind!r} is none of {', '.join(ERRORS)}")
        return codes

    @field_validator("words", mode="before")
    @classmethod
    def _words(cls, words: Any) -> Any:
        return {str(word).lower(): state for word, state in words.items()} if isinstance(words, dict) else words

    @field_validator("create", "name")
    @classmethod
    def _placeholders(cls, template: Any) -> Any:
        unknown = templates.placeholders(template) - templates.OF_CREATE
        if unknown:
            raise ValueError(f"no such placeholder: {', '.join(sorted(unknown))}")
        return template

    @field_validator("tag_after_create")
    @classmethod
    def _after(cls, after: TagAfter | None) -> TagAfter | None:
        unknown = templates.placeholders(after.arguments) - templates.OF_CREATE - {"node"} if after else ()
        if unknown:
            raise ValueError(f"no such placeholder: {', '.join(sorted(unknown))}")
        return after

    @model_validator(mode="after")
    def _identity(self) -> GenericOptions:
        """A node must say whose it is from its first instant, or somebody must have accepted that it does not."""
        if self.identity_in_create:
            return self
        if self.tag_after_create is None:
            raise ValueError(
                "nothing tells whose node it is: put {tags} into an argument of create, or {token} into name"
            )
        if not self.tag_after_create.accept_risk:
            raise ValueError(
                "tag_after_create leaves nodes without an owner if cloudmon dies between the two calls: put {token} "
                "into name, or set tag_after_create.accept_risk = true if nobody else names nodes as cloudmon does"
            )
        return self

    @model_validator(mode="after")
    def _constructed(self) -> GenericOptions:
        """A driver that cannot be made with these options is told of now, not at the first call. Credentials may be
        missing, as in examples: they come from the environment of whoever calls the cloud."""
        from cloudmon_providers.generic import drivers  # noqa: PLC0415 - libcloud, only for those who use it

        given, found = self.constructor_arguments(), drivers.find(self.driver)
        key, secret = {self.key_argument: "", **given}, {self.key_argument: "", self.secret_argument: "", **given}
        wrong = [drivers.objection(found, arguments) for arguments in (given, key, secret)]
        if all(wrong):
            raise ValueError(f"are refused: {wrong[1]}")
        return self

    def constructor_arguments(self) -> dict[str, Any]:
        """What the driver is made with, secrets in the clear."""
        found = dict(self.arguments)
        for name, secret in ((self.key_argument, self.key), (self.secret_argument, self.secret)):
            if secret is not None:
                found[name] = secret.get_secret_value()
        return found

    @property
    def identity_in_create(self) -> bool:
        """Whether the create call itself says whose node it makes."""
        return bool(templates.placeholders(self.create) & templates.WITH_TAGS) or self.token_in_name

    @property
    def token_in_name(self) -> bool:
        return "token" in templates.placeholders(self.name)
