"""Each gate of `make check` can fail: a fault planted in a copy of the code is found (schema drift: tests/contract)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code without its tests, where a fault may be planted."""
    for name in ("funnel", "services", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def gate(folder: Path, tool: str, *arguments: str) -> tuple[int, str]:
    """Exit code and words of a tool run in `folder`."""
    done = subprocess.run(
        [TOOLS / tool, *arguments], cwd=folder, capture_output=True, text=True, check=False, env={"PATH": str(TOOLS)}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tool", "arguments", "fault", "words"),
    [
        ("ruff", ("check", "."), "import os\n", "F401"),
        ("ruff", ("check", "."), "try:\n    pass\nexcept Exception:\n    pass\n", "BLE001"),
        ("ruff", ("format", "--check", "."), "x = {  'a':1 }\n", "would be reformatted"),
        ("mypy", ("funnel/planted.py",), "def f(x):\n    return x\n", "no-untyped-def"),
        ("mypy", ("funnel/planted.py",), "x: int = 'a'\n", "assignment"),
    ],
)
def test_a_planted_fault_fails_the_check(
    copy: Path, tool: str, arguments: tuple[str, ...], fault: str, words: str
) -> None:
    (copy / "funnel" / "planted.py").write_text(fault, encoding="utf-8")
    code, said = gate(copy, tool, *arguments)
    assert code != 0
    assert words in said


@pytest.mark.parametrize(
    ("module", "fault", "contract"),
    [
        ("services/routing/store.py", "import services.scoring.store", "do not know each other"),
        ("services/routing/store.py", "import services.routing.handlers", "layers only look down"),
        ("services/routing/domain/rotation.py", "import time", "domains are pure"),
        ("services/metrics/store.py", "import asyncpg", "drivers stay behind funnel"),
        ("funnel/spine/loop.py", "import aiokafka", "aiokafka only under"),
        ("funnel/kafka/producer.py", "import asyncpg", "asyncpg only under"),
        ("funnel/kafka/producer.py", "import funnel.spine.outbox", "inside funnel"),
    ],
)
def test_an_import_across_a_wall_breaks_its_contract(copy: Path, module: str, fault: str, contract: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{fault}  # planted\n")
    code, said = gate(copy, "lint-imports", "--no-cache")
    assert code != 0
    broken = [line for line in said.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), said
