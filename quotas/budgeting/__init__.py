"""Pages and API of budgets and of moving them. What they decide is decided by ``quotas.budgets`` and ``quotas.budget_moves``."""
