"""The capability matrix in ``providers/README.md`` is what the suite says today."""

from __future__ import annotations

from pathlib import Path

import capability_matrix


def test_the_matrix_in_the_readme_is_up_to_date(tmp_path: Path) -> None:
    """Otherwise: ``python tests/support/capability_matrix.py``."""
    results = capability_matrix.run(capability_matrix.suites(), tmp_path)
    assert capability_matrix.in_readme() == capability_matrix.table(results)


def test_a_law_that_is_broken_for_one_verb_is_shown_as_broken() -> None:
    law = capability_matrix.OFFER_LAW
    results = {
        "east": {f"{law}[start_node]": "passed", f"{law}[stop_node]": "failed"},
        "west": {f"{law}[start_node]": "passed", f"{law}[stop_node]": "skipped"},
    }
    table = capability_matrix.table(results)
    assert "| a node that never was is not found by | **no** | yes |" in table
    assert "| `stop_node` | yes | - |" in table
