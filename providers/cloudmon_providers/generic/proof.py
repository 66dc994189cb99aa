"""Proof that a listing was one: drivers make an empty list of another service's document as readily as of an empty
account, so the answers are looked at as they pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cloudmon import errors


@contextmanager
def of(driver: Any, root: str, *, cloud: str) -> Iterator[None]:
    """Context in which at least one answer to the driver must have this root; ``UnexpectedAnswer`` when none had.

    ``root`` is an element's name (with its namespace in braces, if it has one), a key of a JSON object, or ``[]`` for
    a JSON list. Empty: nothing is asked.
    """
    if not root:
        yield
        return
    answers: list[object] = []
    plain = driver.connection.request

    def recording(*arguments: Any, **named: Any) -> Any:
        response = plain(*arguments, **named)
        answers.append(getattr(response, "object", None))
        return response

    driver.connection.request = recording
    try:
        yield
    finally:
        del driver.connection.request
    if not any(_has(answer, root) for answer in answers):
        raise errors.UnexpectedAnswer(f"{cloud}: the listing's answer has no {root}", cloud=cloud)


def _has(answer: Any, root: str) -> bool:
    if isinstance(answer, Mapping):
        return root in answer
    if isinstance(answer, list):
        return root == "[]"
    return getattr(answer, "tag", None) == root
