"""What can go wrong around child processes, each said in one sentence that tells what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from funnel.errors import FunnelError


class StackError(FunnelError):
    """The embedded stack could not start, go on or stop; the message says what to do about it."""


@contextmanager
def explain_os_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn a full disk or a refused permission while `doing` something at `path` into a `StackError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StackError(
                f"The disk holding {path} is full while {doing}; free some space and try again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StackError(
                f"No permission to write {error.filename or path} while {doing}; "
                "change its owner or set FUNNEL_HOME to a folder of yours."
            ) from error
        raise
