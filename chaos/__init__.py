"""Proof by force: faults injected into the real system, and a checker that knows nothing of how it is built."""
