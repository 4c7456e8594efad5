"""A real PostgreSQL pair fails over under the real services."""
