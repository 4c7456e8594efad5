"""What is counted and how: tallies per day, the state of each lead, periods. Pure; no I/O, clock or driver."""
