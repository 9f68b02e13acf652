"""Between markers a document is the command's; outside them it is its author's, to the letter."""

from __future__ import annotations

import pytest

from harness.documents.markers import rewrite
from harness.errors import UserError

PAGE = """# Title

By hand.
<!-- measured: matrix table -->
old
<!-- end -->
Also by hand.  \n
<!-- measured: quick table -->
another run's
<!-- end -->
"""


def test_a_block_is_made_anew_and_nothing_else() -> None:
    made = rewrite(PAGE, "matrix", {"table": "new\n"}, source="page.md")
    assert made.blocks == 1
    assert made.text == PAGE.replace("\nold\n", "\n\nnew\n\n")


def test_twice_is_once() -> None:
    once = rewrite(PAGE, "matrix", {"table": "new"}, source="page.md").text
    assert rewrite(once, "matrix", {"table": "new"}, source="page.md").text == once


def test_a_plan_that_the_document_does_not_speak_of() -> None:
    made = rewrite(PAGE, "full", {"table": "new"}, source="page.md")
    assert (made.text, made.blocks) == (PAGE, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- measured: p table -->\n", "page.md: <!-- measured: p table --> has no end"),
        ("<!-- measured: p table -->\n<!-- measured: p table -->\n", "page.md, line 2: .* has no end"),
        ("a\n<!-- end -->\n", "page.md, line 2: <!-- end --> ends no block"),
        (
            "\n<!-- measured: p tabel -->\n",
            "page.md, line 2: no measured block is called 'tabel'; did you",
        ),
    ],
)
def test_what_is_wrong_with_a_document_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        rewrite(text, "p", {"table": "new"}, source="page.md")
