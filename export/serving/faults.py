"""Why a request is refused, in the words of HTTP and of gRPC."""


class Fault(Exception):  # noqa: N818 - a refusal, and not the server's error
    """A refusal.

    Args:
        message: what was wrong, and what to do.
    """

    status = 500  # of HTTP
    code = "INTERNAL"  # of gRPC


class BadRequest(Fault):
    """The request is not what the model takes."""

    status, code = 400, "INVALID_ARGUMENT"


class NotFound(Fault):
    """There is no such model, version or signature."""

    status, code = 404, "NOT_FOUND"


class TooLarge(Fault):
    """The request, or what it asks for, is larger than the server takes."""

    status, code = 413, "RESOURCE_EXHAUSTED"


class TooSlow(Fault):
    """The client did not send its body in time."""

    status, code = 408, "DEADLINE_EXCEEDED"


class QueueFull(Fault):
    """More requests wait than the server lets wait."""

    status, code = 429, "RESOURCE_EXHAUSTED"


class Unavailable(Fault):
    """The model cannot answer just now."""

    status, code = 503, "UNAVAILABLE"


class Leaving(Unavailable):
    """The version is being taken away: another may answer."""


class Late(Fault):
    """The answer would come after the request's deadline."""

    status, code = 504, "DEADLINE_EXCEEDED"
