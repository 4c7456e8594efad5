"""What the statements of the spine and of the services do to the tables in memory, found by their text."""

from tests.simulator.statements import routing, scoring, spine, toy

STATEMENTS = {**spine.STATEMENTS, **toy.STATEMENTS, **scoring.STATEMENTS, **routing.STATEMENTS}
