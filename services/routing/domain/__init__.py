"""What routing decides: frozen values and pure functions. Time, identifiers and configuration are arguments."""
