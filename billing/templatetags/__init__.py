"""Tags and filters of the pages of finance."""
