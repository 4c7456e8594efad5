"""`funnel demo`: invented people live seeded journeys against the real stack, and everything is accounted for.

`people`, `journeys`, `team` and `verdict` are pure; `play` posts, `observe` reads what came of it, `stage` puts
these together with a stack of its own.
"""
