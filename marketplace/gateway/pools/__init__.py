"""Warm pools: how many servers of a model are kept ready, why, and who starts and stops them."""
