"""The page on which people see what they use against their limits, and set alerts."""
