"""The tree of an expression says what the library that evaluates it says."""

from __future__ import annotations

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.detection import syntax
from cloudmon.detection.syntax import Call, ExpressionError, Index, Items, Literal, Name, Node, Operation, Select

FACTS = {"a": 3, "b": -2, "yes": True, "no": False, "m": {"x": 5, "y z": 7}, "l": [4, 5, 6]}


def bracketed(node: Node, text: str) -> str:
    """The expression with every part in brackets, so that no rule of precedence is left to apply."""
    match node:
        case Literal() | Name():
            return text[node.start : node.end]
        case Select():
            return f"({bracketed(node.of, text)}).{node.field}"
        case Index():
            return f"({bracketed(node.of, text)})[{bracketed(node.key, text)}]"
        case Items():
            return "[" + ", ".join(bracketed(item, text) for item in node.items) + "]"
        case Call():
            arguments = ", ".join(bracketed(argument, text) for argument in node.arguments)
            target = f"({bracketed(node.target, text)})." if node.target is not None else ""
            return f"{target}{node.function}({arguments})"
        case Operation():
            parts = [f"({bracketed(operand, text)})" for operand in node.operands]
            if node.operator == "?":
                return f"{parts[0]} ? {parts[1]} : {parts[2]}"
            return f"{node.operator}{parts[0]}" if len(parts) == 1 else f"{parts[0]} {node.operator} {parts[1]}"


def outcome(text: str) -> object:
    try:
        return cel.compile(text).execute(FACTS)
    except Exception as error:
        return type(error)


numbers = st.sampled_from(["a", "b", "2", "7", "m.x", 'm["y z"]', "l[1]", "size(l)", "-a", "0x1F"])
reckoned = st.recursive(
    numbers, lambda inner: st.tuples(inner, st.sampled_from("+-*/%"), inner).map(" ".join), max_leaves=5
)
tests = st.sampled_from(["yes", "no", "!yes", "a in l", "l.exists(i, i > a)", '"a" == "b"', "l.all(i, i < 6 || yes)"])
compared = st.tuples(reckoned, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), reckoned).map(" ".join)
conditions = st.recursive(
    tests | compared,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join)
        | st.tuples(inner, inner, inner).map(lambda three: f"({three[0]}) ? ({three[1]}) : {three[2]}")
    ),
    max_leaves=6,
)


@given(conditions)
def test_the_tree_has_the_librarys_precedence(text: str) -> None:
    assert outcome(bracketed(syntax.parse(text), text)) == outcome(text)


@given(conditions)
def test_a_part_stands_where_the_tree_says(text: str) -> None:
    root = syntax.parse(text)
    assert text[root.start : root.end].strip("()") in text
    if isinstance(root, Operation) and len(root.operands) == 2:
        assert text[root.at :].startswith(root.operator)
    assert outcome(text[root.start : root.end]) == outcome(text)


def where_it_ends(text: str) -> int:
    """The place of its fault, or of its end."""
    try:
        return syntax.parse(text).end
    except ExpressionError as error:
        return error.at


@given(st.text(max_size=60))
def test_any_text_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    assert 0 <= where_it_ends(text) <= len(text)


@given(st.text(alphabet="ab12.+-*&|!<>=()[]'\"?:, \\\n", max_size=40))
def test_what_looks_like_an_expression_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    assert 0 <= where_it_ends(text) <= len(text)


@pytest.mark.parametrize(
    ("text", "at", "what"),
    [
        ("a +", 3, "ends too soon"),
        ("a b", 2, "does not go on with b"),
        ("a == null.", 10, "needs the name of a fact after the dot"),
        ("(a", 2, "needs ) here"),
        ("a ? b", 5, "needs : here"),
        ("{'a': 1}", 0, "has '{', which rules do not use"),
        ("b'bytes'", 0, "has b', a form that rules do not use"),
        ("1u < 2", 0, "has 1u, a form that rules do not use"),
        ('"\\x41"', 1, "has \\x, an escape that rules do not use"),
        ("a * * b", 4, "has * where a value must stand"),
        ("!" * 60 + "a", 49, "is more than 50 operators deep"),
        ("(" * 60 + "a" + ")" * 60, 50, "is more than 50 brackets deep"),
        ("a" * 2_001, 2_000, "is longer than 2000 characters"),
    ],
)
def test_what_is_no_rules_expression_is_refused_with_its_place(text: str, at: int, what: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        syntax.parse(text)
    assert (caught.value.at, caught.value.what) == (at, what)


@pytest.mark.parametrize(
    ("text", "at", "place"),
    [("abc", 0, (1, 1)), ("abc", 3, (1, 4)), ("a\nbc", 2, (2, 1)), ("a\n\nbc", 4, (3, 2))],
)
def test_a_place_is_a_line_and_a_column_from_one(text: str, at: int, place: tuple[int, int]) -> None:
    assert syntax.place(text, at) == place


def test_escapes_are_what_the_library_makes_of_them() -> None:
    text = r""" "a\n\t\r\\\"\'" """.strip()
    found = syntax.parse(text)
    assert isinstance(found, Literal)
    assert found.value == cel.compile(text).execute({})
