"""Mutation proof: each safeguard is taken out of a copy of the code, and a test that was green must go red.

`python -m chaos.mutations`. The list is in `catalogue`; docs/mutations.md is its table.
"""
