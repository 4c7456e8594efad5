"""Data folders that exist either whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from funnel.embedded.errors import StackError


def place_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` make the content in a folder beside `folder`, then give it its name in one step.

    What an earlier, interrupted attempt left is thrown away: it was never in use, so it holds no data.
    """
    staging = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        fill(staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if folder.exists():
        folder.rmdir()  # refuse_half_made() saw that it is empty
    staging.rename(folder)


def refuse_half_made(folder: Path, server: str, marks: Sequence[Path]) -> bool:
    """True when `folder` holds nothing yet, False when every file of `marks` is in it.

    Raises `StackError` for anything between: data may be in it, so a person has to decide.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return True
    missing = [mark for mark in marks if not mark.exists()]
    if missing:
        raise StackError(
            f"The {server} data folder {folder} is half made or damaged ({missing[0].relative_to(folder)} is missing); "
            "restore it from a backup, or move it away to start empty."
        )
    return False
