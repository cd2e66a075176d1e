"""Anthropic's Messages API for callers: its requests into OpenAI's words, and what comes back into its own."""
