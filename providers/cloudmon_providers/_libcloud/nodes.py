"""Driver nodes into the model's nodes: one pass, a few dictionary look-ups a node.

A hundred thousand nodes pass here in each tick, so names are local and the named tuple is made from a tuple at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from libcloud.compute.base import Node as DriverNode

from cloudmon import errors
from cloudmon.model.nodes import Node, NodeState
from cloudmon_providers._libcloud.dialect import LIBCLOUD_WORDS, Dialect

_make: Callable[[tuple[object, ...]], Node] = partial(tuple.__new__, Node)
_NOTHING: Mapping[str, str] = {}


class Reader:
    """Reads nodes in one cloud's dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._states = {**LIBCLOUD_WORDS, **dialect.words}

    def read(self, batch: Iterable[object]) -> list[Node]:
        """The model's nodes, in the batch's order.

        A node that reads badly is kept with what is known and state UNKNOWN. What is no node at all, or has no id,
        raises UnexpectedAnswer: the document it came from is not this cloud's listing.
        """
        dialect = self._dialect
        tags_field, token_tag, estate_tag = dialect.tags_field, dialect.token_tag, dialect.estate_tag
        location_field, word_of, created_of = dialect.location_field, self._word, self._created
        word_field, size_field, image_field = dialect.word_field, dialect.size_field, dialect.image_field
        plain_created, says_end = not dialect.created_field, bool(dialect.ended_field)
        states, unknown, utc, join = self._states, NodeState.UNKNOWN, dt.UTC, "".join
        terminated, ended_of = NodeState.TERMINATED, self._ended
        isolated_field, peers_field = dialect.isolated_field, dialect.peers_field
        made: list[Node] = []
        append = made.append
        for item in batch:
            node: DriverNode = item  # type: ignore[assignment]  # _partly says what is none
            try:
                extra = node.extra
                tags = extra.get(tags_field) or _NOTHING
                word = (extra.get(word_field) if word_field else None) or word_of(node)
                created = node.created_at if plain_created else created_of(node)
                if created is not None and created.tzinfo is not utc:
                    created = _aware(created)
                size = (extra.get(size_field) if size_field else node.size and node.size.id) or ""
                image = (extra.get(image_field) if image_field else node.image and node.image.id) or ""
                location = extra.get(location_field) or ""
                token, estate = tags.get(token_tag) or None, tags.get(estate_tag) or None
                # The cheapest way to find out that all of them are text: it raises where one is not.
                join((word, location, size, image, token or "", estate or ""))
                state = states.get(word, unknown)
                append(
                    _make(
                        (
                            node.id or _nameless(),
                            node.name or "",
                            state,
                            word,
                            token,
                            estate,
                            location,
                            size,
                            image,
                            node.public_ips,
                            node.private_ips,
                            created,
                            tags,
                            ended_of(node) if says_end and state is terminated else None,
                            extra.get(isolated_field) if isolated_field else None,
                            extra.get(peers_field) if peers_field else None,
                        )
                    )
                )
            except errors.UnexpectedAnswer:
                raise
            except Exception:  # noqa: BLE001, RUF100 - whatever one odd machine does, the others stay listed
                append(self._slowly(item))
        return made

    def _slowly(self, item: object) -> Node:
        """A node whose texts are numbers, as some drivers have them; else what can be said of it."""
        try:
            node = self._partly(item)
            driver_node: DriverNode = item  # type: ignore[assignment]  # _partly has looked
            dialect, extra = self._dialect, driver_node.extra
            word = (extra.get(dialect.word_field) if dialect.word_field else None) or node.word
            created = self._created(driver_node) if dialect.created_field else driver_node.created_at
            size = extra.get(dialect.size_field) if dialect.size_field else driver_node.size and driver_node.size.id
            image = (
                extra.get(dialect.image_field) if dialect.image_field else driver_node.image and driver_node.image.id
            )
            state = self._states.get(_text(word), NodeState.UNKNOWN)
            return node._replace(
                state=state,
                word=_text(word),
                location=_text(extra.get(dialect.location_field)),
                size=_text(size),
                image=_text(image),
                created_at=None if created is None else _aware(created),
                tags={_text(key): _text(value) for key, value in (extra.get(dialect.tags_field) or {}).items()},
                ended_at=self._ended(driver_node) if state is NodeState.TERMINATED else None,
                isolated=extra.get(dialect.isolated_field) if dialect.isolated_field else None,
                peers=extra.get(dialect.peers_field) if dialect.peers_field else None,
            )
        except errors.UnexpectedAnswer:
            raise
        except Exception:  # noqa: BLE001, RUF100
            return self._partly(item)

    def _partly(self, item: object) -> Node:
        """What can be said of a node that could not be read in full: it is there, and whose it is if its tags tell."""
        if not isinstance(item, DriverNode):
            raise errors.UnexpectedAnswer(f"the cloud's answer holds a {type(item).__name__} where a node should be")
        extra = item.extra if isinstance(item.extra, Mapping) else {}
        found = extra.get(self._dialect.tags_field)
        tags = {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}
        return Node(
            id=str(item.id) if item.id else _nameless(),
            name=str(item.name or ""),
            state=NodeState.UNKNOWN,
            word=_plain(item.state),
            token=tags.get(self._dialect.token_tag),
            estate=tags.get(self._dialect.estate_tag),
            location="",
            size="",
            image="",
            public_addresses=_texts(item.public_ips),
            private_addresses=_texts(item.private_ips),
            created_at=None,
            tags=tags,
        )

    def _word(self, node: DriverNode) -> str:
        return _plain(node.state)

    def _created(self, node: DriverNode) -> dt.datetime | None:
        return _instant(node.extra.get(self._dialect.created_field) or node.created_at)

    def _ended(self, node: DriverNode) -> dt.datetime | None:
        found = _instant(node.extra.get(self._dialect.ended_field))
        return None if found is None else _aware(found)


def without_repeats(nodes: list[Node]) -> list[Node]:
    """The nodes, each once: pages that moved while they were read show one twice.

    UnexpectedAnswer when two different nodes share an id: then ids mean nothing here.
    """
    if len({node.id for node in nodes}) == len(nodes):
        return nodes
    kept: dict[str, Node] = {}
    for node in nodes:
        earlier = kept.setdefault(node.id, node)
        if earlier is not node and (earlier.token, earlier.name) != (node.token, node.name):
            raise errors.UnexpectedAnswer(f"the cloud lists two different nodes with the id {node.id}")
        kept[node.id] = node
    return list(kept.values())


def _nameless() -> str:
    raise errors.UnexpectedAnswer("the cloud listed a node without an id")


def _plain(state: object) -> str:
    """A driver's state as text: an enum member's value, or what a loose driver put there."""
    return str(getattr(state, "value", state) or "unknown").lower()


def _instant(found: object) -> dt.datetime | None:
    if isinstance(found, str):
        return dt.datetime.fromisoformat(found)
    return found if isinstance(found, dt.datetime) else None


def _aware(instant: dt.datetime) -> dt.datetime:
    """Aware UTC; libcloud's drivers mean UTC where they give a naive instant."""
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)


def _text(found: object) -> str:
    """Text, or a number as text; ValueError for anything else."""
    if found is None:
        return ""
    if not isinstance(found, str | int | float):
        raise ValueError(f"{type(found).__name__} is no text")
    return str(found)


def _texts(found: object) -> Sequence[str]:
    return [str(item) for item in found] if isinstance(found, list | tuple) else []
