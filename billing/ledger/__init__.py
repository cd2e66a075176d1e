"""The books: accounts, journal entries that sum to zero, balances, and the proof that all agrees."""
