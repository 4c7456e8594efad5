"""What the documents name exists: links, settings, commands, topics, sentences."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from funnel import topics
from funnel.cli import COMMANDS, app
from funnel.embedded.settings import EmbeddedSettings
from funnel.settings import Settings
from tests.architecture.markdown import ROOT, documents, fences, section, tables, text_of, without_fences

PLACES = [path.relative_to(ROOT).as_posix() for path in documents()]
SETTINGS_FILE = "FUNNEL_SETTINGS_FILE"
COMPUTED = {"FUNNEL_REPLICA": "host name and pid"}
BETWEEN_PROCESSES = {"FUNNEL_REASON_FILE", "FUNNEL_CHILD"}
"""Set by the supervisor for its children; no business of a person."""


# -- links -----------------------------------------------------------------------------------------------------------


def links(place: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", without_fences(text_of(place)))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("place", PLACES)
def test_every_link_leads_somewhere(place: str) -> None:
    assert [link for link in links(place) if not _leads(ROOT / place, link)] == []


def _leads(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_fences(document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_of_decisions_lists_each_once() -> None:
    files = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [link for link in links("docs/adr/README.md") if link[0].isdigit()] == files
    assert [name[:4] for name in files] == [f"{number:04}" for number in range(1, len(files) + 1)]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")), ids=lambda path: path.name)
def test_a_decision_says_why_what_follows_and_what_was_refused(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [part for part in ("Context", "Decision", "Consequences", "Refused") if f"**{part}.**" not in text] == []


# -- settings --------------------------------------------------------------------------------------------------------


def settings() -> dict[str, str]:
    """Every variable of a person, with its default."""
    fields = {**Settings.model_fields, **EmbeddedSettings.model_fields}
    plain = {f"FUNNEL_{name.upper()}": _default(field.default) for name, field in fields.items()}
    return plain | COMPUTED


def _default(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    rows = [row for head, *rows in tables(text_of("README.md")) if head[0] == "variable" for row in rows]
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == settings()


@pytest.mark.parametrize("place", [*PLACES, "docker-compose.yml", "deploy/Dockerfile", "Makefile"])
def test_every_variable_that_is_named_is_a_setting(place: str) -> None:
    compose = {"FUNNEL_IMAGE", "FUNNEL_CONFIG", "FUNNEL_TEST_DATA"}
    named = set(re.findall(r"\bFUNNEL_[A-Z_]*[A-Z]\b", text_of(place)))
    assert named - settings().keys() - {SETTINGS_FILE} - compose - BETWEEN_PROCESSES == set()


# -- commands --------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    """(document, command) of everything a document tells to run."""
    for place in PLACES:
        text = text_of(place)
        lines = [line for block in fences(text, "", "sh", "bash", "console") for line in _joined(block)]
        spans = [span for line in without_fences(text).splitlines() for span in re.findall(r"`([^`]+)`", line)]
        for line in lines + spans:
            command = re.sub(r"^(?:\$ )?(?:\.venv/bin/)?", "", line.strip())
            if re.match(r"(funnel|make|python -m)( |$)", command):
                yield place, command


def _joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


FOUND = sorted(set(commands()))


def test_commands_are_found() -> None:
    assert {"make demo", "make test", "funnel up --detach"} <= {" ".join(_words(command)) for _, command in FOUND}


@pytest.mark.parametrize(("place", "command"), FOUND)
def test_every_command_that_is_told_exists(place: str, command: str) -> None:
    program, *words = _words(command)
    if program == "make":
        assert {word for word in words if "=" not in word} <= _targets(), command
    elif program == "python":
        assert importlib.util.find_spec(words[1]) is not None, command
    else:
        _check_funnel(words)


def _words(command: str) -> list[str]:
    return shlex.split(command, comments=True)


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))


def _check_funnel(words: list[str]) -> None:
    """Walk down the groups by the words, then look for the options among those of the command."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "get_command"):
        name = words[0].split("|")
        following = [command.get_command(None, one) for one in name]
        assert None not in following, f"there is no command {words[0]!r}"
        command, words = following[0], words[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    told = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
    assert told - options - {"--help"} == set()


def test_the_readme_names_every_command() -> None:
    text = text_of("README.md")
    rows = [row[0] for head, *rows in tables(text) if head[0] == "command" for row in rows]
    named = {name for cell in rows for name in re.findall(r"`(?:funnel )?([a-z]+)`", cell)}
    assert named == COMMANDS.keys()


# -- topics ----------------------------------------------------------------------------------------------------------


def test_the_architecture_names_who_reads_and_publishes_what() -> None:
    rows = [row for head, *rows in tables(text_of("docs/architecture.md")) if head[0] == "process" for row in rows]
    known = topics.topics()
    for process, port, reads, publishes, _ in rows:
        service = process.strip("`").removeprefix("services.")
        assert {name for name in known if name in reads} == {n for n, t in known.items() if service in t.consumers}
        assert {name for name in known if name in publishes} == {n for n, t in known.items() if service in t.producers}
        assert int(port) == Settings().port_of(service)


def test_the_diagram_shows_every_topic() -> None:
    (diagram,) = fences(text_of("docs/architecture.md"), "mermaid")
    assert set(re.findall(r"\[/([a-z-]+)/\]", diagram)) == topics.topics().keys()


def test_the_compose_file_is_described_where_the_readme_says() -> None:
    assert "docker-compose up" in section(text_of("README.md"), "Configuration")
