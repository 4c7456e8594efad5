"""The real spine in a world of its own: virtual time, broker and database in memory, and faults, all from one seed."""
