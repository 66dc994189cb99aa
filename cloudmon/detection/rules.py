"""Rules made ready: compiled once, checked against the schema, tried on an appliance of which everything is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cloudmon.detection import checking, needs, specimen
from cloudmon.detection.checking import Checked, Crossing
from cloudmon.detection.needs import Need, Step
from cloudmon.detection.schema import FACTS
from cloudmon.detection.shapes import BOOL, TEXT, Listing, Table, described
from cloudmon.detection.syntax import ExpressionError
from cloudmon.model.policies import Rule

if TYPE_CHECKING:
    import cel

LONGEST_NAME = 200
"""Characters of what a rule stands for, as it is shown and kept."""

_LIBRARY = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class RuleError(Exception):
    """A rule that cannot be used."""

    def __init__(self, part: str, what: str, text: str = "", at: int | None = None) -> None:
        super().__init__(what)
        self.part = part
        """Key that is wrong: ``when``, ``each``, ``message``, ``then``."""
        self.what = what
        """What is wrong with it, as the end of a sentence."""
        self.text = text
        """The expression, where it is one."""
        self.at = at
        """Offset in it, in characters; None where no place can be named."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression, or what an installed detector stands for in its place."""

    checked: Checked
    program: cel.Program
    detect: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
    """Gives the names in the program's place, from the groups themselves."""
    limits: tuple[tuple[Crossing, cel.Program], ...] = ()
    """Ages that are compared, with what they are compared with."""


@dataclass(frozen=True, slots=True)
class Ready:
    """One rule of a policy, ready to be judged."""

    key: str
    """``<policy>/<rule>``."""
    rule: Rule
    when: Expression
    each: Expression | None = None

    def key_of(self, item: str) -> str:
        """``<policy>/<rule>``, and ``/<item>`` where it has items."""
        return f"{self.key}/{plain(item)}" if self.each is not None else self.key

    def message(self, item: str) -> str:
        """For people."""
        return (self.rule.message or self.rule.name).replace("{item}", plain(item))


def plain(name: str) -> str:
    """A name as it can stand in keys, findings and on terminals: appliances may call things what they like, and no
    store takes everything. What is too long or cannot be shown is cut, and told apart by a hash."""
    if len(name) <= LONGEST_NAME and name.isprintable():
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{printable(name)[: LONGEST_NAME // 2]}~{digest}"


def printable(text: str) -> str:
    """The text without what cannot be shown."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def ready(policy: str, rule: Rule) -> Ready:
    """The rule, compiled. Raises RuleError for one that is wrong, with the place in its expression."""
    if rule.detect is not None:
        return _detecting(policy, rule)
    each = None
    if rule.each:
        each = _expression("each", rule.each, item=False)
    when = _expression("when", rule.when, item=each is not None)
    if when.checked.shape is not BOOL:
        raise RuleError("when", f"gives {described(when.checked.shape)} and not true or false", rule.when, 0)
    _placeholders(rule)
    needed = [part.checked.need for part in (each, when) if part is not None]
    _try(specimen.facts(*needed), rule, each, when)
    return Ready(f"{policy}/{rule.name}", rule, when, each)


def _detecting(policy: str, rule: Rule) -> Ready:
    """A rule whose names, each of which it holds for, an installed detector gives."""
    assert rule.detect is not None  # noqa: S101  # that is what it is
    needs_of = getattr(rule.detect, "needs", ())
    names = [name for name in needs_of if isinstance(name, str)] if not isinstance(needs_of, str) else []
    wrong = next((name for name in names if name not in FACTS.fields), None)
    if wrong is not None:
        raise RuleError("detector", f"needs {wrong!r}, which is no group of facts; `cloudmon schema facts` shows them")
    if not names:
        raise RuleError("detector", "does not say which groups of facts it needs")
    _placeholders(replace(rule, each="names"))
    need = Need({name: needs.whole(FACTS.fields[name].shape) for name in names})
    checked = Checked("", None, need, {(Step(name, strict=True),): None for name in names})
    everything = specimen.facts(need)
    try:
        detected(rule.detect, {name: everything[name] for name in names})
    except Exception as error:
        what = f"fails where everything is known: {type(error).__name__}: {error}"
        raise RuleError("detector", what) from error
    when = _expression("when", "true", item=True)
    return Ready(f"{policy}/{rule.name}", rule, when, Expression(checked, when.program, rule.detect))


def detected(detect: Callable[[Mapping[str, Any]], Iterable[str]], groups: Mapping[str, Any]) -> list[str]:
    """The names that a detector gives. Raises what it raises, and TypeError for what are no names."""
    told = detect(groups)
    found = [] if isinstance(told, str | bytes) else list(told)
    if isinstance(told, str | bytes) or not all(isinstance(name, str) for name in found):
        raise TypeError("it gives something else than names")
    return found


def _expression(part: str, source: str, *, item: bool) -> Expression:
    program = _compiled(part, source)
    try:
        checked = checking.check(source, item=item)
    except ExpressionError as error:
        raise RuleError(part, error.what, source, error.at) from error
    for at, pattern in checked.patterns:
        try:
            _compiled(part, f'"".matches({pattern})').execute({})
        except RuntimeError as error:
            raise RuleError(part, "has a pattern that is no regular expression", source, at) from error
    if part == "each":
        shape = checked.shape
        if isinstance(shape, Table):
            # Its names, and not what stands under them.
            program = _compiled(part, f"({source}).map(name, name)")
        elif not (isinstance(shape, Listing) and shape.of is TEXT):
            raise RuleError(part, f"gives {described(shape)} and not a list of names", source, 0)
    limits = tuple((crossing, _compiled(part, crossing.limit)) for crossing in checked.crossings)
    return Expression(checked, program, limits=limits)


def _compiled(part: str, source: str) -> cel.Program:
    import cel  # noqa: PLC0415  # it brings a command line of its own along: not for a program that has no rules

    try:
        return cel.compile(source)
    except ValueError as error:
        found = _LIBRARY.search(str(error))
        if found is None:
            raise RuleError(part, "is no expression", source, 0) from error
        lines = source.split("\n")
        at = sum(len(line) + 1 for line in lines[: int(found[1]) - 1]) + int(found[2]) - 1
        what = found[3].partition(" expecting {")[0].replace("'<EOF>'", "its end")
        raise RuleError(part, f"is no expression: {what}", source, min(at, len(source))) from error


def _placeholders(rule: Rule) -> None:
    known = {"item"} if rule.each else set()
    texts = [("message", rule.message)]
    texts += [("then", value) for remedy in rule.then for value in remedy.arguments.values()]
    for part, text in texts:
        for found in _PLACEHOLDER.finditer(text):
            if found[1] not in known:
                hint = "there is {item}" if known else "a rule with each has {item}, others have none"
                raise RuleError(part, f"has the placeholder {found[0]}; {hint}")


def _try(facts: dict[str, Any], rule: Rule, each: Expression | None, when: Expression) -> None:
    """Evaluate it once where everything is known: what fails there would fail everywhere."""
    tried: Sequence[tuple[str, str, Expression | None]] = (("each", rule.each, each), ("when", rule.when, when))
    for part, source, expression in tried:
        if expression is None:
            continue
        try:
            expression.program.execute({**facts, "item": specimen.ITEM})
        except (ArithmeticError, IndexError):
            continue  # it depends on the values
        except Exception as error:
            what = str(error).partition(". ")[0].partition("\n")[0]
            raise RuleError(part, f"cannot be evaluated: {what}", source) from error
