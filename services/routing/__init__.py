"""Routing: gives each qualified lead to exactly one rep, or holds it with a reason, and applies what sales reports."""
