"""The servers that Halfpenny brings along: PostgreSQL and Valkey, from wheels, with a launcher of our own."""


class ServiceFailed(Exception):
    """A server could not be started; the message says why, for whoever typed the command."""
