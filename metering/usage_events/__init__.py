"""Pages and API of single events: the story of one, the list behind a number, what came twice with other content."""
