"""Saving reports: traffic that was, replayed through limits, routing, cache, batching and pools, lever by lever."""
