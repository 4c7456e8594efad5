"""YAML that remembers its lines and keeps scalars as written, so that an error can name the place.

A YAML reader turns `No` into False, `2018-05-01` into a date and the second of two equal keys into the only
one. A mapping talks about the texts in somebody's spreadsheet, so none of that may happen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

Plain = str | None | list["Plain"] | dict[str, "Plain"]
"""A document of texts: scalars as written; an unquoted empty value, `~` or `null` is None."""


class PlainYamlError(ValueError):
    """The text is not YAML of the plain kind read here; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document and the tree that knows its lines."""

    value: Plain
    _root: yaml.Node

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the deepest part of `path` that exists; for a mapping entry, the line of its key."""
        node, line = self._root, self._root.start_mark.line + 1
        for part in path:
            found = _child(node, part)
            if found is None:
                return line
            node, line = found
        return line


def parse(text: str) -> Document:
    """Read one YAML document.

    Raises PlainYamlError for bad syntax, a repeated key, a key that is not a plain text, an alias to itself.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PlainYamlError(mark.line + 1 if mark else 1, error.problem or "not YAML") from error
    except yaml.YAMLError as error:
        raise PlainYamlError(1, " ".join(str(error).split())) from error
    if root is None:
        raise PlainYamlError(1, "the file is empty")
    return Document(_plain(root, ()), root)


def _plain(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Plain:
    if node in above:
        raise PlainYamlError(node.start_mark.line + 1, "an alias must not contain itself")
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*above, node)) for item in node.value]
    entries: dict[str, Plain] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise PlainYamlError(line, "a key must be a plain text")
        if key.value in entries:
            raise PlainYamlError(line, f"the key {key.value!r} stands here a second time")
        entries[str(key.value)] = _plain(value, (*above, node))
    return entries


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line + 1
    return None
