"""Answers that are not bought twice: kept for a few minutes, and shared by callers who ask the same at once."""
