"""Pages and API of increase requests, grants and policies."""
