"""Pages of moving budget from one cost center or team to another."""
