"""Which processes of a killed supervisor the next one takes over."""

from __future__ import annotations

from funnel.embedded.orphans import Orphan, choose, fingerprint
from funnel.embedded.process import Identity, Program


def _orphan(name: str, pid: int, mark: str) -> Orphan:
    return Orphan(name, Identity(pid, 100.0), mark)


def test_an_orphan_that_would_be_started_the_same_way_is_adopted() -> None:
    orphan = _orphan("kafka", 1, "a")
    assert choose([orphan], {"kafka": "a"}) == ({"kafka": orphan}, [])


def test_an_orphan_with_other_settings_is_stopped() -> None:
    orphan = _orphan("kafka", 1, "a")
    assert choose([orphan], {"kafka": "b"}) == ({}, [orphan])


def test_an_orphan_the_stack_no_longer_has_is_stopped() -> None:
    orphan = _orphan("kafka", 1, "a")
    assert choose([orphan], {"postgres": "a"}) == ({}, [orphan])


def test_an_orphan_nobody_wrote_down_is_stopped() -> None:
    orphan = _orphan("kafka", 1, "")
    assert choose([orphan], {"kafka": "a"}) == ({}, [orphan])


def test_of_two_orphans_of_a_name_one_is_adopted() -> None:
    first, second = _orphan("scoring", 1, "a"), _orphan("scoring", 2, "a")
    assert choose([first, second], {"scoring": "a"}) == ({"scoring": first}, [second])


def test_the_fingerprint_covers_arguments_and_environment() -> None:
    marks = {
        fingerprint(Program("x", ("run", "1"), {"A": "1", "B": "2"})),
        fingerprint(Program("x", ("run", "2"), {"A": "1", "B": "2"})),
        fingerprint(Program("x", ("run", "1"), {"A": "1", "B": "3"})),
    }
    assert len(marks) == 3
    assert fingerprint(Program("x", ("run",), {"A": "1", "B": "2"})) == fingerprint(
        Program("x", ("run",), {"B": "2", "A": "1"})
    )
