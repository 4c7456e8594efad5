"""What routing takes from outside: `routing.yaml` in the funnel's home, else the default beside this module."""

from __future__ import annotations

from pathlib import Path

from services.routing.domain.rules import RoutingRules, RulesError, parse_rules

FILE_NAME = "routing.yaml"
DEFAULT = Path(__file__).with_name("default.yaml")

EXPORT_DUTY = "totals"
"""The duty of exporting database totals; one replica has it at a time."""

RELEASE_SECONDS = 1.0
"""How often held leads are looked at without being asked to: a safety net, and what other replicas changed."""

TELL_SECONDS = 5.0
"""How often the exported totals are counted anew: counting reads every held lead."""


def load_rules(home: Path) -> RoutingRules:
    """The rules in force. Raises RulesError, naming file, line and key."""
    path = home / FILE_NAME
    if not path.exists():
        path = DEFAULT
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RulesError(f"{path}: the file is not UTF-8 (byte {error.start}).") from error
    except OSError as error:
        raise RulesError(f"{path}: the file cannot be read ({error.strerror}).") from error
    return parse_rules(text, str(path))
