"""System errors, said in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from funnel.embedded.errors import StackError, explain_os_errors


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk holding /data is full while formatting; free some space and try again."),
        (errno.EACCES, "No permission to write /data/x while formatting; change its owner or set FUNNEL_HOME"),
    ],
)
def test_what_a_person_can_repair_is_explained(number: int, sentence: str) -> None:
    with pytest.raises(StackError) as caught, explain_os_errors("formatting", Path("/data")):
        raise OSError(number, "text of the system", "/data/x")
    assert str(caught.value).startswith(sentence)


def test_any_other_error_passes_through() -> None:
    with pytest.raises(InterruptedError), explain_os_errors("formatting", Path("/data")):
        raise OSError(errno.EINTR, "text of the system")
