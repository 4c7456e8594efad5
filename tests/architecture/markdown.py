"""Reading our own documents: tables, links, code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SKIPPED = frozenset({".venv", ".git", ".funnel", ".hypothesis", ".pytest_cache", "node_modules"})


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    return sorted(path for path in ROOT.rglob("*.md") if _SKIPPED.isdisjoint(path.relative_to(ROOT).parts))


def text_of(document: str) -> str:
    """The text of a document, named from the root."""
    return (ROOT / document).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under `heading`, up to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(text: str) -> list[list[list[str]]]:
    """Every table of `text`: rows of cells, the head first."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", without_fences(text), re.MULTILINE)
    return [[_cells(line) for line in block.splitlines() if not re.fullmatch(r"[|\s:-]+", line)] for block in found]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def without_fences(text: str) -> str:
    """`text` without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def fences(text: str, *languages: str) -> list[str]:
    """The contents of the fenced blocks of these languages (an empty one: none named)."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for language, content in blocks if language in languages]


def arrows(diagram: str) -> list[tuple[str, str, str]]:
    """(from, to, label) of every arrow of a Mermaid state diagram."""
    found = re.findall(r"^\s*(\S+) --> (\w+)(?:: (.*))?$", diagram, re.MULTILINE)
    return [(before, after, label) for before, after, label in found]
