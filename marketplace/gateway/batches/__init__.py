"""Calls that need not be answered at once: files of lines, batches made of them, and what came of each line."""
