"""Refusals of the service: a status of HTTP and a sentence."""

from __future__ import annotations

import errno

from quintet.errors import AudioError, ConfigError, MachineError, QuintetError
from quintet.files.locks import HeldOutputError

BAD_REQUEST, FORBIDDEN, NOT_FOUND = 400, 403, 404
TIMEOUT, TOO_LARGE, MISDIRECTED, UNUSABLE = 408, 413, 421, 422
CLIENT_LEFT = 499
FAILED, NOT_HERE, BUSY, FULL_DISK = 500, 501, 503, 507
LIBRARY_PLACES = "where the library, its songs and the temporary files are"
"""Where the page of a library writes, for the message of a full disk."""


class Refusal(Exception):
    """A request that gets no answer.

    Args:
        status: of HTTP.
        reason: a sentence: what must hold, what was received, what to do.
        retry_after_s: seconds after which the client may try again; None if that would not help.
    """

    def __init__(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def client_left() -> Refusal:
    """The refusal of a request whose client has gone. Only the log shows it."""
    return Refusal(CLIENT_LEFT, "The client has gone.")


def refusal(error: Exception, *, writes_to: str = "in its folder of temporary files") -> Refusal:
    """The refusal that an error stands for.

    Args:
        error: an error of Quintet, of the operating system, or any other.
        writes_to: where the service writes, for the message of a full disk.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, AudioError):
        return Refusal(UNUSABLE, str(error))
    if isinstance(error, ConfigError):
        return Refusal(BAD_REQUEST, str(error))
    if isinstance(error, MachineError | MemoryError | HeldOutputError):
        return Refusal(BUSY, str(error) or "The memory is not enough: send fewer requests at once.", 5)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(FULL_DISK, f"The disk of the service is full: make room {writes_to}.")
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        reason = f"The service must be allowed to read and to write {writes_to}. It is not ({error.strerror})"
        return Refusal(FORBIDDEN, f"{reason}: change the permissions, or mount the disk for writing.")
    if isinstance(error, ImportError):
        return Refusal(NOT_HERE, _missing(error))
    if isinstance(error, QuintetError):
        return Refusal(FAILED, str(error))
    return Refusal(
        FAILED, f"The service has a fault that it does not know ({type(error).__name__}: {error})."
    )


def _missing(error: ImportError) -> str:
    if isinstance(error, QuintetError):
        return str(error)
    return (
        f"This needs a library that is not installed here ({error.name or error}). "
        "Install quintet-music with all its dependencies."
    )
