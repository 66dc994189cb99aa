"""Judges one rule on the facts of one appliance: it holds, it does not, or what it needs is not known.

Unknown is its own verdict, and sound: every fact that the expression names outright must be known before CEL is asked
(:mod:`cloudmon.detection.checking` says why CEL's own answer is not enough), and whatever CEL then cannot reckon (a
field that one item of a list lacks, a division by nought, a number too large) is unknown too.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudmon.detection import needs, rules
from cloudmon.detection.facts import Facts
from cloudmon.detection.needs import Need, Path
from cloudmon.detection.rules import Expression, Ready

if TYPE_CHECKING:
    import cel

MOST_ITEMS = 100
"""Items that one rule stands for in one appliance, the first by name: more say nothing that these do not."""


class Verdict(enum.StrEnum):
    """What a rule comes to."""

    HOLDS = "holds"
    CLEAR = "does not hold"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule, judged for an appliance, or for one item of it."""

    ready: Ready
    item: str
    verdict: Verdict
    why: str = ""
    """Of an unknown one: which fact is missing, or what could not be reckoned."""
    facts: Mapping[str, object] | None = None
    """What it looked at, by the path as it is written: of one that holds, of others when asked for."""
    turns_in_s: float | None = None
    """Seconds after which it may come out otherwise though no fact has changed but ages. None: it will not; 0: at any
    time."""

    @property
    def key(self) -> str:
        return self.ready.key_of(self.item)


class Shelf:
    """Groups of facts made ready for CEL, and kept for as long as they are the same."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        # Read when a program asks for it: to set a variable makes the library convert all the others again.
        self._item = [""]
        self._context = _context(self._item)

    def prepare(self, groups: Mapping[str, Any]) -> None:
        """Make exactly these groups known."""
        told = self._told
        if told.keys() - groups.keys():
            # The library's contexts forget nothing.
            told = self._told = {}
            self._context = _context(self._item)
        for name, group in groups.items():
            if name not in told or told[name] != group:
                self._context.add_variable(name, group)
                told[name] = group

    def ask(self, program: cel.Program, item: str = "") -> object:
        """What the program comes to. Raises whatever the library raises."""
        self._item[0] = item
        return program.execute(self._context)


def _context(item: list[str]) -> cel.Context:
    import cel  # noqa: PLC0415  # as in rules: only where there are rules

    context = cel.Context()
    context.set_variable_resolver(lambda name: item[0] if name == "item" else None)
    return context


@dataclass(frozen=True, slots=True)
class Bench:
    """What rules on one appliance stand on.

    Converting facts costs more than evaluating rules, so a bench that is kept from one report to the next converts
    what changed and nothing else.
    """

    lists: Shelf = field(default_factory=Shelf)
    """For the items that rules stand for."""
    conditions: Shelf = field(default_factory=Shelf)


class Counting:
    """The rules that count for a set, and what they need together."""

    def __init__(self, rules: Sequence[Ready]) -> None:
        self.rules = rules
        self.several = [(rule, rule.each) for rule in rules if rule.each is not None]
        # What detectors look at is not converted.
        self.of_lists = _joined(each for _, each in self.several if each.detect is None)
        self.of_conditions = _joined(rule.when for rule in rules)


def judge(
    counting: Counting,
    facts: Facts,
    *,
    skipped: Container[str] = (),
    standing: Mapping[str, Iterable[str]] | None = None,
    bench: Bench | None = None,
    explain: bool = False,
) -> list[Judged]:
    """Every rule on one appliance's facts, in their order, items by name.

    Arguments:
        skipped: keys of rules that are not judged.
        standing: by key of a rule with items, the items for which something is remembered: they are judged unknown
            while it is not known which items there are.
        bench: kept for this appliance from an earlier call; None makes a new one.
        explain: whether each says what it looked at.
    """
    bench = bench or Bench()
    items = _items(counting, skipped, facts, bench)
    names = frozenset(name for found in items.values() if not isinstance(found, str) for name in found)
    groups = _prepared(bench.conditions, facts, counting.of_conditions, names)
    judged: list[Judged] = []
    for rule in counting.rules:
        if rule.key in skipped:
            continue
        found = items.get(rule.key, ("",))
        if isinstance(found, str):
            judged += [
                Judged(rule, name, Verdict.UNKNOWN, found)
                for name in sorted(set((standing or {}).get(rule.key, ()))) or ("",)
            ]
        else:
            judged += [_judged(rule, item, groups, bench.conditions, explain=explain) for item in found]
    return judged


def _joined(expressions: Iterable[Expression]) -> Need:
    """What all of them need."""
    need = Need()
    for expression in expressions:
        need.join(expression.checked.need)
    return need


def _items(counting: Counting, skipped: Container[str], facts: Facts, bench: Bench) -> dict[str, Sequence[str] | str]:
    """By key: the items of each rule; or why they are not known."""
    groups = _prepared(bench.lists, facts, counting.of_lists, frozenset())
    found: dict[str, Sequence[str] | str] = {}
    for rule, each in counting.several:
        if rule.key in skipped:
            continue
        looked = groups if each.detect is None else facts.groups(each.checked.need)
        unknown = _unknown(each.checked.paths, looked, "")
        if unknown:
            found[rule.key] = unknown
            continue
        try:
            told = bench.lists.ask(each.program) if each.detect is None else rules.detected(each.detect, looked)
        except Exception as error:
            found[rule.key] = _sentence(error)
        else:
            names = {name for name in told if isinstance(name, str)} if isinstance(told, list) else set()
            found[rule.key] = sorted(names)[:MOST_ITEMS]
    return found


def _prepared(shelf: Shelf, facts: Facts, need: Need, items: frozenset[str]) -> dict[str, Any]:
    groups = facts.groups(need, items)
    try:
        shelf.prepare(groups)
    except (ValueError, TypeError, OverflowError):
        # Text that is no text, somewhere: find the group and do without it.
        groups = {name: group for name, group in groups.items() if _convertible(name, group)}
        shelf.prepare(groups)
    return groups


def _convertible(name: str, group: object) -> bool:
    try:
        Shelf().prepare({name: group})
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _judged(rule: Ready, item: str, groups: Mapping[str, Any], shelf: Shelf, *, explain: bool) -> Judged:
    checked = rule.when.checked
    looked = _looked(checked.paths, groups, item) if explain else None
    unknown = _unknown(checked.paths, groups, item)
    if unknown:
        return Judged(rule, item, Verdict.UNKNOWN, unknown, looked)
    try:
        holds = shelf.ask(rule.when.program, item)
    except Exception as error:
        return Judged(rule, item, Verdict.UNKNOWN, _sentence(error), looked, 0.0 if checked.ages else None)
    if holds is not True and holds is not False:
        return Judged(rule, item, Verdict.UNKNOWN, "it comes to neither true nor false", looked)
    turns = _turns(rule.when, groups, item, shelf) if checked.ages else None
    if holds and looked is None:
        looked = _looked(checked.paths, groups, item)
    return Judged(rule, item, Verdict.HOLDS if holds else Verdict.CLEAR, "", looked, turns)


def _turns(when: Expression, groups: Mapping[str, Any], item: str, shelf: Shelf) -> float | None:
    """Seconds until the first of its ages passes what it is compared with."""
    if when.checked.restless:
        return 0.0
    ahead: list[float] = []
    for crossing, limit in when.limits:
        try:
            age, most = needs.value_at(crossing.age, groups, item), shelf.ask(limit, item)
        except Exception:
            return 0.0  # the condition did without it this time, and may not the next
        if isinstance(age, float) and isinstance(most, int | float):
            left = age - most if crossing.falling else most - age
            ahead += [left] if left >= 0 else []
    return min(ahead, default=None)


def _unknown(paths: Iterable[Path], groups: Mapping[str, Any], item: str) -> str:
    for path in paths:
        if needs.absent(path, groups, item):
            return f"{needs.written(path, item)} is not known"
    return ""


def _looked(paths: Iterable[Path], groups: Mapping[str, Any], item: str) -> dict[str, object]:
    found = ((needs.written(path, item), needs.value_at(path, groups, item)) for path in paths)
    return {path: value for path, value in found if value is not None and not isinstance(value, dict)}


def _sentence(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not known" if error.args else "something is not known"
    return str(error).partition(". ")[0].partition("\n")[0]
