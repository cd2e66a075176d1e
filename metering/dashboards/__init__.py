"""Pages of one thing each: the platform, a team, a cost center, a model, an app; all made of the one usage query."""
