"""The groups of the settings file about running: store, monitor, clouds, breakers, sweep.

All are frozen and refuse unknown keys. Values of kind "duration" take seconds or text such as ``15m``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from cloudmon.model.offers import Price
from cloudmon.settings.values import Count, Fraction, Seconds, WholeSeconds, money, number

_PASSWORD_IN_URL = re.compile(r"(?<=postgresql://)([^/@:]*):(?:[^?]*|[^@]*)@|(?<=://)([^/@:]*):[^/]*@")
"""A store's password may hold what ends one elsewhere, such as a slash."""
_POSTGRESQL = re.compile(
    r"postgresql://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?]+\]|[^/:?]*)(?::(?P<port>[^/?]*))?(?:[/?].*)?", re.DOTALL
)
"""As SQLAlchemy takes it apart, which is too dear to import for this."""


class Group(BaseModel):
    """What all groups share: values are replaced, never edited, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StoreSettings(Group):
    """``[store]``: the memory outside the clouds."""

    url: str = Field(default="sqlite:///var/cloudmon.db", repr=False)
    """``sqlite:///path`` (relative to the settings file), ``postgresql://user@host/name``, or ``memory``, which
    forgets at exit. The default needs nothing installed."""
    password: SecretStr | None = None
    """Password of a PostgreSQL store; for the environment (``CLOUDMON_STORE__PASSWORD``). None: the URL's, or none."""
    password_file: Path | None = None
    """File that holds the password instead; relative to the settings file. None: no such file."""
    log_key_file: Path | None = None
    """File with the key of the action log's chains, at least 16 bytes. None: ``log.key`` in ``monitor.state_dir``,
    made at first use and readable by its owner alone. Whoever has both store and key can forge the log, so keep the
    key elsewhere."""

    @field_validator("url")
    @classmethod
    def _kind(cls, url: str) -> str:
        if url == "memory" or (url.startswith("sqlite:///") and len(url) > len("sqlite:///")):
            return url
        if parts := _POSTGRESQL.fullmatch(url):
            port = parts["port"]
            if port is not None and not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65_535):
                raise ValueError(f'has "{port}" for a port, which is no number from 1 to 65535')
            return url
        raise ValueError('must be "memory", sqlite:///<path> or postgresql://<user>@<host>/<name>')

    @property
    def url_shown(self) -> str:
        """The URL without its password: what may be printed."""
        return shown(self.url)

    @property
    def url_with_password(self) -> str:
        """The URL to connect with; never print it."""
        if self.password is None or not self.url.startswith("postgresql://"):
            return self.url
        scheme, _, rest = self.url.partition("://")
        account, at, place = rest.rpartition("@")
        user = account.partition(":")[0]
        return f"{scheme}://{user}:{quote(self.password.get_secret_value(), safe='')}{at or '@'}{place}"


def shown(url: str) -> str:
    """``url`` with a password in it replaced by ``***``."""
    return _PASSWORD_IN_URL.sub(lambda found: f"{found[1] or found[2] or ''}:***@", url)


class MonitorSettings(Group):
    """``[monitor]``: how this monitor works."""

    state_dir: Path = Path("var")
    """Folder of the journal, the log's key and the anchors of its heads; relative to the settings file. Made when
    missing."""
    poll_interval_s: Annotated[Seconds, Field(gt=0)] = 15
    """Duration between the beginnings of two ticks. 15 s notices a dead node within half a minute and costs a cloud
    of ten thousand nodes 40 calls a minute."""
    poll_jitter: Annotated[float, BeforeValidator(number, json_schema_input_type=float), Field(ge=0, le=0.5)] = 0.1
    """Share of ``poll_interval_s``, 0 to 0.5: each tick but the first begins by a random part of it after its usual
    time, so that monitors that were started together do not call a cloud in the same second. The mean interval stays
    as it is. 0: none."""
    call_timeout_s: Annotated[Seconds, Field(gt=0)] = 30
    """Duration after which a call to a cloud counts as unanswered."""
    workers_per_cloud: Annotated[int, BeforeValidator(number), Field(ge=1, le=64)] = 8
    """Threads, each with a driver of its own, that call one cloud side by side."""
    health_address: str = "127.0.0.1"
    """Address that ``/healthz`` listens on. Loopback: it has no login."""
    health_port: Annotated[int, BeforeValidator(number), Field(ge=0, le=65_535)] = 8_787
    """Port of ``/healthz``; 0 serves none."""
    drain_s: Seconds = 5
    """Duration that running calls are given to end after SIGTERM."""
    journal_mib: Annotated[int, BeforeValidator(number), Field(ge=1)] = 64
    """Size in MiB of the local journal of observations while the store is away; when full the oldest listings are
    dropped."""
    offers_interval_s: Annotated[Seconds, Field(gt=0)] = 21_600
    """Duration between two readings of a cloud's offers and prices. They change rarely and cost many calls."""
    keep_deliveries_s: Annotated[WholeSeconds, Field(ge=3_600)] = 2_592_000
    """Duration for which it is kept what notifiers were given, and what came of it, once it has come to its end."""
    keep_snapshots_s: Annotated[WholeSeconds, Field(ge=86_400)] | None = None
    """Duration for which snapshots are kept that this estate took, by rule or because somebody asked: after it they are
    deleted from their cloud, and no others ever are. None: nobody deletes them but you."""
    log_format: Literal["console", "json"] = "console"
    """``console`` for people, ``json`` for collectors: one object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written."""


class PriceSettings(Group):
    """``[clouds.<name>.prices]``: the price of one size, where the cloud tells none or a contract says another."""

    per_hour: Annotated[Decimal, BeforeValidator(money, json_schema_input_type=str | float), Field(gt=0)]
    """Price of one node for one hour. Zero is refused: a price that is not known is left out."""
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    """ISO 4217 code."""
    dated: dt.date | None = None
    """The day the price was looked up. None: the day on which the settings are read."""


class CloudSettings(Group):
    """``[clouds.<name>]``: one account and region of one kind of cloud."""

    provider: str
    """Name of an installed provider: ``dummy``, ``aws``, ``generic`` …"""
    listing_lag_s: Seconds = 30
    """Duration that this cloud's listing may lag behind what was done; a node's absence proves nothing before it has
    passed."""
    calls_per_s: Annotated[float, BeforeValidator(number), Field(gt=0)] = 20
    """Calls a second, on average, that all workers of this cloud make together."""
    burst: Annotated[int, BeforeValidator(number), Field(ge=1)] = 40
    """Calls that may be made at once after a quiet time."""
    options: Any = Field(default_factory=dict, repr=False)
    """The provider's own settings, checked by the provider's own model. A key ``x_file`` reads ``x`` from a file."""
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    """Price by size name; wins over what the cloud says."""

    def price_overrides(self, today: dt.date) -> Mapping[str, Price]:
        """Prices by size; those without a date are dated ``today``."""
        return {
            size: Price(price.per_hour, price.currency, "config", price.dated or today)
            for size, price in self.prices.items()
        }


class BudgetSettings(Group):
    """``[breakers.<class>]``: how many actions of one class may begin within a window."""

    per_set: Count
    """Actions on one set."""
    per_tenant: Count
    """Actions on all sets of one tenant."""
    per_cloud: Count
    """Actions on one cloud."""
    window_s: Annotated[WholeSeconds, Field(gt=0)]
    """Duration that is looked back over."""


class DisruptiveBudget(BudgetSettings):
    """``[breakers.disruptive]``: stops, suspensions and reboots. Wide enough to roll a set within an hour."""

    per_set: Count = 10
    per_tenant: Count = 50
    per_cloud: Count = 50
    window_s: Annotated[WholeSeconds, Field(gt=0)] = 3_600


class DestructiveBudget(BudgetSettings):
    """``[breakers.destructive]``: terminations born of observation. Few: one at a time is healing, ten at once is an
    error of ours."""

    per_set: Count = 3
    per_tenant: Count = 10
    per_cloud: Count = 10
    window_s: Annotated[WholeSeconds, Field(gt=0)] = 3_600


class RetirementBudget(BudgetSettings):
    """``[breakers.retirement]``: terminations born of a recorded lease end. Only there so that a cloud is not
    flooded."""

    per_set: Count = 1_000
    per_tenant: Count = 1_000
    per_cloud: Count = 1_000
    window_s: Annotated[WholeSeconds, Field(gt=0)] = 60


class BreakerSettings(Group):
    """``[breakers]``: limits on what one plan may do, on by default."""

    vanish_fraction: Fraction = 0.5
    """Part of a cloud's known nodes that, missing at once, is taken for an error of our view and not for the truth."""
    vanish_min: Count = 3
    """Nodes that must be missing before ``vanish_fraction`` counts."""
    vanish_grace_s: WholeSeconds = 900
    """Duration after which nodes that are still missing are believed to be gone."""
    shrink_fraction: Fraction = 0.5
    """Part of an author's appliances that, gone at once from a settings file, is held as a suspicious file."""
    shrink_min: Count = 2
    """Appliances that must be gone before ``shrink_fraction`` counts."""
    shrink_grace_s: WholeSeconds = 3_600
    """Duration after which a file that still says so is believed; ``cloudmon apply`` confirms it at once."""
    first_tick_hold: bool = True
    """True holds what observation would destroy in the first tick after a start, when the view is youngest."""
    verify_per_tick: Count = 20
    """Nodes that are read one by one in a tick to verify an absence before it is acted on."""
    disruptive: DisruptiveBudget = DisruptiveBudget()
    destructive: DestructiveBudget = DestructiveBudget()
    retirement: RetirementBudget = RetirementBudget()


class SweepSettings(Group):
    """``[sweep]``: what is done with nodes of our own estate that should not be there. Nodes of others are never
    touched."""

    orphans: Literal["report", "end"] = "report"
    """Nodes that no row explains: ``report`` shows and meters them, ``end`` also terminates them within the
    destructive budget."""
    duplicates: Literal["end", "report"] = "end"
    """Second nodes of one incarnation, the younger ones: ``end`` terminates them within the destructive budget."""
