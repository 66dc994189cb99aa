"""``#cloud-config`` is read as YAML reads it, or refused with the line; never guessed at."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloudmon_providers.local import cloudconfig

DOCUMENTS = {
    "nothing": "",
    "a comment": "# only this\n",
    "commands of every kind": """
runcmd:
  - echo one
  - [ sh, -c, "echo two; echo 'three'" ]
  - [ls, -l, '/']   # with a comment
  - - printf
    - "%s\\n"
    - it''s
  - 'it''s four'
  -   spaced   # and more
""",
    "a list as deep as its key": "runcmd:\n- echo\n- [a]\nother: x\n",
    "files": """
---
write_files:
  - path: /etc/motd
    permissions: '0644'
    content: |
      hello

        indented: "as it is"   # no comment
      - and no list

  - content: "one\\ttwo\\u00e4\\x41"
    path: /etc/other
    owner: root:root
  -
    path: /third
    content: |-
      no end
  - path: /fourth
    content: |+
      all ends


  - path: /fifth
    content: >
      folded
      into one

      and another
  - path: /sixth
    content: |2
        two more
  - {path: /seventh, content: "in, brackets", append: yes}
final: "x"
""",
    "keys": "\"quoted key\": v\n'other': w\na.b/c-d: x\nurl: http://localhost:8080/x?y=z\nempty:\nnone: ~\n",
    "maps in maps": "a:\n  b:\n    c: d\n    e: [f, {g: h}]\n  i: j\nk: l\n",
    "text with a hash": "a: b#c\nd: 'e # f'\ng: h # i\n",
}


def by_yaml(text: str) -> Any:
    """Every plain word stays text."""
    return yaml.load(text, Loader=yaml.BaseLoader) or {}  # noqa: S506 - it makes nothing but texts, lists and maps


def without_none(value: Any) -> Any:
    """The plain loader says an empty text for what is nothing here, and keeps the words for nothing."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return "" if value in (None, "~", "null") else value


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_read_as_yaml_reads_it(text: str) -> None:
    assert without_none(cloudconfig.read(f"#cloud-config\n{text}")) == without_none(by_yaml(text))


def test_json_is_cloud_config_too() -> None:
    assert cloudconfig.read('#cloud-config\n{"runcmd": [["ls", "-l"]]}') == {"runcmd": [["ls", "-l"]]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("a: &anchor b", "line 2 has '&', which is more YAML than is read here", id="anchor"),
        pytest.param("a: b\nc: *anchor", "line 3 has '\\*'", id="alias"),
        pytest.param("a: !!binary x", "line 2 has '!'", id="tag"),
        pytest.param("a: one\n  two", "line 3 goes on with the text before it; use |", id="text of two lines"),
        pytest.param("a: [b,", "line 2 has no ] at its end", id="list of two lines"),
        pytest.param("a: [b c] d", "line 2 has something after its value", id="rest"),
        pytest.param('a: "b', "line 2 has a quoted text that does not end on it", id="open quote"),
        pytest.param('a: "\\q"', "line 2 has a quoted text with an escape that is not known", id="escape"),
        pytest.param("a: b\na: c", "line 3 has the key a again", id="key again"),
        pytest.param("a: b: c", "line 2 has a colon in a text without quotes", id="two colons"),
        pytest.param("a:\n\tb: c", "line 3 is indented with a tab", id="tab"),
        pytest.param("a: b\n - c", "line 3 goes on", id="odd list"),
        pytest.param("a:\n  b: c\n d: e", "line 4 is indented otherwise", id="odd indent"),
        pytest.param("- a", "the document is no map", id="list"),
        pytest.param("just words", "the document is no map", id="words"),
        pytest.param("{broken", "Expecting property name", id="json"),
        pytest.param("a: b\nc", "line 3 is neither a key with its value nor a comment", id="no key"),
        pytest.param("a: >\n  b\n    c\n", "a > text has indented lines", id="folded and indented"),
    ],
)
def test_what_is_not_understood_is_named_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^cloud-config: .*{why}"):
        cloudconfig.read(f"#cloud-config\n{text}")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)
WORDS = st.text("abcxyz/.-_ 01:#'\"[]{},&*|>", min_size=1, max_size=20)
VALUES = st.recursive(
    TEXTS | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
ROOTS = st.dictionaries(WORDS, VALUES, min_size=1, max_size=4)


@given(ROOTS, st.booleans())
def test_what_yaml_writes_is_read_back_or_refused(document: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, width=10_000, allow_unicode=True)
    try:
        found = cloudconfig.read(f"#cloud-config\n{text}")
    except ValueError:
        return
    assert without_none(found) == without_none(document)


@given(st.text("ab:- \n#'\"[]{},|>&\t", max_size=60))
def test_no_text_is_read_otherwise_than_yaml_reads_it(text: str) -> None:
    try:
        found = cloudconfig.read(f"#cloud-config\n{text}")
    except ValueError:
        return
    if text.lstrip().startswith("{"):
        return  # JSON
    try:
        expected = by_yaml(text)
    except yaml.YAMLError:
        return  # kinder than YAML is harmless
    assert without_none(found) == without_none(expected)
