"""Money by card and debit: the only package that knows Stripe. Its README says what it offers to its neighbors."""
