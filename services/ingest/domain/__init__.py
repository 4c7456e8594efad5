"""What ingest decides: which bytes are an event or an outcome, and what is stored for them. No I/O, no clock."""
