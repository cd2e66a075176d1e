"""Documents of hosted apps: cut into passages, found by what is asked, and only the best put into a prompt."""
