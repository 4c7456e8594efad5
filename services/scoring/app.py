"""The scoring service, put together. The only module that names concrete classes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from funnel import runtime
from funnel.runtime import Application
from funnel.settings import Settings
from services.scoring.adopter import ScoringAdopter
from services.scoring.api import create_api
from services.scoring.domain.score import Scorer
from services.scoring.handlers import ScoringHandler
from services.scoring.settings import load_config


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service, connected. Raises ConfigError for rules that cannot be used, and what `runtime.spine` raises."""
    handler = ScoringHandler(Scorer(load_config(settings.home)))
    async with runtime.spine(settings, handler, adopter=ScoringAdopter(), lanes=2) as spine:
        yield Application(
            name=handler.name,
            http=create_api(spine.database, spine.ready),
            workers=spine.workers,
            host=settings.host,
            port=settings.scoring_port,
        )
