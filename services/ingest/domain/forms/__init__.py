"""Forms: from the bytes a browser or a script posts to one of our events. Pure: no clock, no randomness, no I/O."""
