"""Views of those who decide, a module for each kind of page."""
