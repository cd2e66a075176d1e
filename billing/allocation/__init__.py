"""Who bears what of a month: direct use, shared costs by rule, and what nobody bears."""
