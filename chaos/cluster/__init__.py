"""The servers that faults are injected into: brokers, a Postgres pair, proxies, clocks."""
