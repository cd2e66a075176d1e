"""The steps of a close as the system sees them, reopening a month, and totals that differ."""
