"""Replaying a recorded trace of model requests as usage: read it, spread it over apps, send it, prove what arrived."""
