"""The management API of payments: paying, and what the processor tells us."""
