"""Pages of those who decide: what waits, one request with all that a decision needs, the log, delegates, capacity."""
