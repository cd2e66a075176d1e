"""Pages of increase requests and of the policy for them."""
