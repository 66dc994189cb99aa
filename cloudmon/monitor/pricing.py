"""Keeps what clouds offer, and at what price, as fresh as the settings want it, beside the ticks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import CancelledError, Future, wait

import structlog

from cloudmon.engine.workers import Workers
from cloudmon.errors import CloudError, StoreError
from cloudmon.model.offers import Offer
from cloudmon.provider import Provider
from cloudmon.store import Store

_log = structlog.get_logger(__name__)


class Pricing:
    """Asks clouds for their offers and puts them into the store. For whoever has the monitor's turn."""

    def __init__(self, store: Store, workers: Workers[Provider]) -> None:
        self._store = store
        self._workers = workers
        self._asked: dict[str, Future[Sequence[Offer]]] = {}
        self._waited: set[str] = set()
        self._outdated: set[str] = set()

    def outdate(self, clouds: Collection[str]) -> None:
        """These may be others by now, and sell other things, though their names are the same."""
        self._outdated |= set(clouds)
        for cloud in clouds:
            self._asked.pop(cloud, None)

    def refresh(self, clouds: Iterable[str], now: dt.datetime, *, interval_s: float, patience_s: float) -> None:
        """Read the offers of clouds whose offers are older than the interval. A cloud that does not answer keeps the
        offers it had; only one of which nothing is known is waited for, and only the first time."""
        due = dt.timedelta(seconds=interval_s)
        new = []
        fetched = self._store.offers.fetched()
        for cloud in clouds:
            fetched_at = fetched.get(cloud)
            outdated = fetched_at is None or now - fetched_at >= due or cloud in self._outdated
            if cloud not in self._asked and outdated:
                self._asked[cloud] = self._workers.submit(cloud, lambda provider: provider.list_offers())
                if fetched_at is None and cloud not in self._waited:
                    new.append(self._asked[cloud])
                self._waited.add(cloud)
        wait(new, timeout=patience_s)
        for cloud, future in list(self._asked.items()):
            if future.done():
                del self._asked[cloud]
                self._take(cloud, future, now)

    def _take(self, cloud: str, told: Future[Sequence[Offer]], now: dt.datetime) -> None:
        try:
            self._store.offers.replace(cloud, list(told.result()), now)
            self._outdated.discard(cloud)
        except StoreError:
            raise
        except (CloudError, CancelledError) as error:
            _log.warning("offers could not be read", cloud=cloud, error=str(error))
        except Exception as error:  # a broken adapter must not stop the tick
            _log.error("provider raised what its contract forbids", cloud=cloud, exc_info=error)
