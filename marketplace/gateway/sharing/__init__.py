"""Calls that are bought together: what several callers ask at once, in one call of a provider, split exactly."""
