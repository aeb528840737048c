"""The two ways in which a call ends badly without being a fault of the library."""


class InputError(ValueError):
    """The call, or a file that it was given, is wrong; the message says where and what to do."""


class CheckFailed(RuntimeError):  # noqa: N818 - the check failed, nothing erred
    """The work was done and its result is not good enough: a parity or a reproduction check."""
