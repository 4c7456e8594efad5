"""Where the scoring rules come from: `scoring.yaml` in the funnel's home, else the default beside this module."""

from __future__ import annotations

from pathlib import Path

from services.scoring.domain.config import ConfigError, ScoringConfig, parse_config

FILE_NAME = "scoring.yaml"
DEFAULT = Path(__file__).with_name("default.yaml")


def load_config(home: Path) -> ScoringConfig:
    """The rules in force. Raises ConfigError, naming file, line and key."""
    path = home / FILE_NAME
    if not path.exists():
        path = DEFAULT
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not UTF-8 (byte {error.start}).") from error
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read ({error.strerror}).") from error
    return parse_config(text, str(path))
