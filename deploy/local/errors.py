"""Errors of the local stack. Each message names the thing, the reason and the next step, in one line."""


class StackError(Exception):
    """The local stack cannot do what was asked."""


class PortTakenError(StackError):
    """A port that a service needs is used by a program outside this stack."""


class ForeignStackError(StackError):
    """A port of this stack answers for another stack or program."""


class ServiceNotReadyError(StackError):
    """A service was started but did not answer in time, or stopped again."""
