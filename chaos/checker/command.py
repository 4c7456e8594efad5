"""`python -m chaos.checker`: the verdict on one history, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from chaos.checker.checking import check
from chaos.checker.collect import collect
from chaos.checker.history import BadHistory
from chaos.checker.verdict import Finding, Verdict

SHOWN = 10
"""Violations of one rule that are shown; `--json` has them all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when everything is as promised, 1 when something is not, 2 when the history cannot be read."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.collect:
            collect(asked.history, asked.bootstrap, asked.dsn, asked.topic_prefix, asked.metrics_url)
        verdict = check(asked.history)
    except BadHistory as error:
        sys.stderr.write(f"{error}\n")
        return 2
    shown = json.dumps(verdict.as_json(), indent=2) if asked.json else as_text(verdict)
    sys.stdout.buffer.write(shown.encode("utf-8", "backslashreplace") + b"\n")
    return 0 if verdict.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos.checker", description=__doc__)
    parser.add_argument("history", type=Path, help="directory of the history")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument(
        "--collect", action="store_true", help="first write down what is on the topics and in the tables"
    )
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="Kafka, host:port")
    parser.add_argument("--dsn", default="", help="Postgres")
    parser.add_argument("--topic-prefix", default="", help="what the names of the topics begin with")
    parser.add_argument("--metrics-url", help="address of the metrics service; without it, it is not asked")
    return parser


def as_text(verdict: Verdict) -> str:
    """A line per rule, the first violations of each, and the figures."""
    lines = [f"{'':5}{'checked':>9}  {'found':>5}  what holds"]
    for invariant, findings in groupby(verdict.findings, key=lambda finding: finding.invariant):
        lines += [_line(invariant, finding) for finding in findings]
    for finding in verdict.findings:
        lines += _details(finding)
    lines += ["", *(f"{name:20} {value}" for name, value in verdict.counts.items() if name != "recovery_seconds")]
    for one in verdict.counts["recovery_seconds"]:
        seconds = "nothing was assigned after it" if one["seconds"] is None else f"{one['seconds']:g} s"
        lines.append(f"recovery from {one['row']} {one['what']}: {seconds}")
    lines += ["", "Everything is as promised." if verdict.ok else f"{len(verdict.violations)} violations."]
    return "\n".join(lines)


def _line(invariant: str, finding: Finding) -> str:
    if finding.skipped:
        return f"{invariant:5}{'-':>9}  {'-':>5}  {finding.says} (not checked: {finding.skipped})"
    return f"{invariant:5}{finding.checked:>9}  {len(finding.violations) or '.':>5}  {finding.says}"


def _details(finding: Finding) -> list[str]:
    if not finding.violations:
        return []
    shown = [f"  {one.invariant} {one.category.value}: {one.what}: {one.detail}" for one in finding.violations[:SHOWN]]
    if len(finding.violations) > SHOWN:
        shown.append(f"  and {len(finding.violations) - SHOWN} more")
    return ["", f"{finding.says}: not so", *shown]
