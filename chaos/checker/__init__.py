"""Decides from outside whether a run kept the promise: a black box that knows names of topics and tables, and no code.

`collect` writes down what an independent client sees of Kafka and Postgres; `check` holds it against what the clients
were told. See README.md.
"""

from __future__ import annotations

from chaos.checker.checking import check
from chaos.checker.collect import collect
from chaos.checker.history import BadHistory
from chaos.checker.verdict import Finding, Verdict, Violation

__all__ = ["BadHistory", "Finding", "Verdict", "Violation", "check", "collect"]
