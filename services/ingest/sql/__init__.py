"""Ingest's statements, by name."""
