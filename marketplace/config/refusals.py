"""The one way in which a command of ours says no. Standard library only."""


class Refused(Exception):
    """A command cannot go on; the message is a sentence for whoever typed it and says what to do."""
