"""Counts the funnel and keeps the ledger: reads every topic, answers and exports the numbers both departments use."""
