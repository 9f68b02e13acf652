"""What stands in a page of Markdown: blocks of code, commands, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

# CommonMark's fenced code, as this project writes it: three backticks, possibly indented as part of a list.
_FENCED: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK: Final = re.compile(r"!?\[[^\]]+\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_NAMED: Final = re.compile(r"# (\S+\.(?:py|service))\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str

    @property
    def name(self) -> str | None:
        """The file that a block is: its first line says so, as a comment."""
        named = _NAMED.match(self.text)
        return named[1] if named else None


def blocks(page: Path) -> list[Block]:
    return [
        Block(found[2], re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE))
        for found in _FENCED.finditer(page.read_text(encoding="utf-8"))
    ]


def only(page: Path, language: str) -> str:
    """The text of a page's one block of a language."""
    (block,) = (block for block in blocks(page) if block.language == language)
    return block.text


def files(page: Path) -> dict[str, str]:
    """The Python files of a page, by name; a block that has none is called by its own text."""
    return {block.name or block.text: block.text for block in blocks(page) if block.language == "python"}


def console(page: Path) -> Iterator[str]:
    """What a reader is told to type, with its comment cut off and lines joined that end in a backslash."""
    for block in blocks(page):
        if block.language == "console":
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield line.removeprefix("$ ").partition("  #")[0].strip()


def transcripts(page: Path) -> Iterator[tuple[str, str]]:
    """Commands whose output a page prints, on one line each, and that output."""
    for block in blocks(page):
        if block.language == "console":
            for typed in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, output = typed.replace("\\\n", " ").partition("\n")
                if output:
                    yield command, output


def spans(page: Path) -> Iterator[str]:
    """Code within sentences."""
    for found in _SPAN.finditer(_prose(page)):
        yield found[1].replace("\n", " ")


def links(page: Path) -> list[str]:
    return _LINK.findall(_prose(page))


def anchors(page: Path) -> set[str]:
    """A page's headings as GitHub makes anchors of them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(_prose(page))}


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))
