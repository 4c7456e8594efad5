"""A demo from curtain to curtain: a stack of its own, the journeys, the replies, the verdict, nothing left running."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

import httpx

from funnel.demo.journeys import Journey, journeys
from funnel.demo.observe import NotAnswered, Observer, observer
from funnel.demo.people import people
from funnel.demo.play import EVENTS, OUTCOMES, Player
from funnel.demo.replies import Reply, replies
from funnel.demo.team import routing_yaml
from funnel.demo.verdict import Count, Observed, Place, Posted, active, is_quiet, judge, places
from funnel.embedded import orphans, state
from funnel.embedded.errors import explain_os_errors
from funnel.embedded.home import Home
from funnel.embedded.ports import free_port
from funnel.embedded.running import running_stack
from funnel.embedded.stack import SERVICES
from funnel.embedded.supervisor import stop_orphans
from funnel.kafka.consumer import KafkaAway
from funnel.settings import Settings

PATIENCE = 30.0
"""Seconds without any change after which what is still missing counts as missing."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

_T = TypeVar("_T")


class Screen(Protocol):
    """Where progress is shown. `say` may be called from another thread."""

    def say(self, step: str) -> None: ...
    def begin(self, step: str, total: int) -> None: ...
    def advance(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Demo:
    """What is played: `leads` people of `seed`, until `now`."""

    seed: int
    leads: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended; `problems` is empty when everything is as promised."""

    observed: Observed
    places: Sequence[Place]
    problems: Sequence[str]


def play_on_own_stack(settings: Settings, demo: Demo, screen: Screen) -> Result:
    """Play `demo` on a stack below `settings.home` that starts empty and is stopped afterwards, also on an error.

    Servers named by the settings are left alone: a demo must not write into somebody's data.
    Raises FunnelError when the stack does not start, or a service stops answering.
    """
    own = own_settings(settings)
    clear(own.home)
    rules = own.home / "routing.yaml"
    with explain_os_errors("writing the routing rules", rules):
        rules.write_text(routing_yaml(people(demo.seed, demo.leads)), encoding="utf-8")
    with running_stack(own, screen.say) as live:
        return asyncio.run(perform(live, demo, screen))


def own_settings(settings: Settings) -> Settings:
    """Settings of the demo's stack: embedded servers, free ports, a home of its own, open to this machine only."""
    ports = {f"{service}_port": free_port() for service in SERVICES}
    own = {"home": settings.home / "demo", "kafka_bootstrap": "", "postgres_dsn": "", "topic_prefix": ""}
    reached = {"host": "127.0.0.1", "require_keys": False}
    return settings.model_copy(update={**ports, **own, **reached})


def clear(path: Path) -> None:
    """Stop what a killed demo may have left at `path`, and take its data away.

    Raises StackError when a demo is running there now.
    """
    home = Home.at(path)
    with home.locked(), explain_os_errors("clearing the last demo", home.path):
        stop_orphans(orphans.find(home.path, state.read(home)))
        state.clear(home)
        for entry in home.path.iterdir():
            if entry.is_dir() and entry != home.run:
                shutil.rmtree(entry)
            elif entry.is_file():
                entry.unlink()


async def perform(live: Settings, demo: Demo, screen: Screen) -> Result:
    """Play `demo` on the running, empty stack that `live` leads to, and judge what came of it. Raises FunnelError."""
    cast = journeys(demo.seed, demo.leads, demo.now)
    async with httpx.AsyncClient(base_url=live.url_of("ingest"), trust_env=False) as client, observer(live) as watcher:
        player = Player(client, screen.advance)
        screen.begin("people visit, click and ask", sum(post.times for one in cast for post in one.posts))
        await player.play(cast, wave=0)
        # What is still on its way could otherwise be overtaken, and the second form would make the lead.
        await _until_quiet(watcher, _posted(player, cast, (), waves=(0,)))
        await player.play(cast, wave=1)
        screen.say("leads are scored and given to reps")
        result = await _settle(watcher, cast, _posted(player, cast, ()))
        answers = [] if result.problems else _replies(demo, result)
        if not answers:
            return result
        screen.begin("reps answer", sum(times for reply in answers for _, times in reply.outcomes))
        await player.answer(answers)
        screen.say("answers are applied, freed places are filled")
        return await _settle(watcher, cast, _posted(player, cast, answers))


def _posted(player: Player, cast: Sequence[Journey], answers: Sequence[Reply], waves: Sequence[int] = (0, 1)) -> Posted:
    events = sum(post.wave in waves for journey in cast for post in journey.posts)
    outcomes = sum(len(reply.outcomes) for reply in answers)
    return Posted(
        people=[journey.person for journey in cast if journey.person is not None],
        events=Count(player.answered[EVENTS], player.unknown[EVENTS], events),
        outcomes=Count(player.answered[OUTCOMES], player.unknown[OUTCOMES], outcomes),
    )


def _replies(demo: Demo, result: Result) -> list[Reply]:
    owned = active(result.observed.assignments)
    given = [(one.person.number, owned[one.lead_id]) for one in result.places if one.lead_id in owned]
    return replies(demo.seed, given, demo.now)


async def _until_quiet(watcher: Observer, posted: Posted) -> None:
    """Return when all that was posted has been decided, or nothing has moved for PATIENCE."""
    await _watch(watcher.ledger, lambda ledger: is_quiet(posted, ledger), lambda ledger: ledger)


async def _settle(watcher: Observer, cast: Sequence[Journey], posted: Posted) -> Result:
    """Look until everything is as promised, or nothing has moved for PATIENCE."""

    async def look() -> Result:
        observed = await watcher.look(cast)
        return Result(observed, places(posted, observed), judge(posted, observed))

    await _until_quiet(watcher, posted)
    return await _watch(look, lambda result: not result.problems, lambda result: result.problems)


async def _watch(look: Callable[[], Awaitable[_T]], is_done: Callable[[_T], bool], seen: Callable[[_T], object]) -> _T:
    """Look until it is done, or `seen` has stayed the same for PATIENCE; the last look.

    A service or a broker that is being started again is waited for; raises FunnelError when it stays away.
    """
    patience = _Patience()
    while True:
        try:
            found = await look()
        except (NotAnswered, KafkaAway) as error:
            if patience.is_over(str(error)):
                raise
        else:
            if is_done(found) or patience.is_over(seen(found)):
                return found
        await patience.pause()


class _Patience:
    """Ends when the same was seen for PATIENCE seconds; looks less often the longer nothing changes."""

    def __init__(self) -> None:
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._seen: object = None
        self._since = self._clock()
        self._pause = FIRST_PAUSE

    def is_over(self, seen: object) -> bool:
        if seen != self._seen:
            self._seen, self._since, self._pause = seen, self._clock(), FIRST_PAUSE
        return self._clock() - self._since > PATIENCE

    async def pause(self) -> None:
        """Wait before the next look."""
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE)
