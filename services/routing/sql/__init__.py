"""Routing's statements, by name."""
