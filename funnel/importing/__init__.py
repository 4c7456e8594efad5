"""Rows of a spreadsheet export as events or outcomes, posted through the public ingest API.

`sheet` reads rows, `mapping` says what their columns mean, `rows` makes bodies of them (pure), `posting`
delivers them, `run` and `preview` put these together for `funnel import`.
"""
