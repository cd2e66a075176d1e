"""Pages and API of usage that could not be attributed."""
