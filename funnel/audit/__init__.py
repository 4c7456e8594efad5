"""The auditor: what lies on the topics, compared record by record with what the tables of the services say.

The ledger compares counters, so a loss can hide behind a surplus. The auditor compares sets. `compare` holds the
rules and is pure; `tables` and `logs` read both sides; `auditor` puts them together for whoever drives it: `funnel
audit` with one full pass, the metrics service without end. Why it is built like this: docs/adr/0015.
"""
