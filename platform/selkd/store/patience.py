"""Patience with a store: what may pass is tried again, ever more rarely; what will not is refused at once."""

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from selkd.errors import UserError

log = logging.getLogger(__name__)

TRIES = 6
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
REST = 60.0
"""Seconds in which a store that did not answer is not asked again."""

CREDENTIALS = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "INVALID_SIGNATURE",
    "SIGNATURE_DOES_NOT_MATCH",
    "EXPIRED_TOKEN", "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT", "HTTP status 401", "HTTP status 403",
    "Unable to locate credentials", "PERMISSION_DENIED", "UNAUTHENTICATED",
)  # fmt: skip
BUCKET = ("NO_SUCH_BUCKET", "NoSuchBucket", "bucket does not exist")

Answer = TypeVar("Answer")


class Unreachable(UserError):
    """The store did not answer for a while: later it may."""


class Patience:
    """Patience with one store; `uri` is how it is named in messages."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._rests_until = 0.0
        self._reason = ""

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` answers. A file that is not there is an answer, too: FileNotFoundError."""
        if time.monotonic() < self._rests_until:
            raise Unreachable(self._reason)
        for attempt in range(TRIES):
            try:
                return ask()
            except FileNotFoundError:
                raise
            except OSError as error:
                self._refuse(error)
                self._reason = (
                    f"the store {self.uri} does not answer as it should ({_line(error)}). Nothing is lost here."
                )
                if attempt == 0:
                    log.warning("%s Trying up to %d times.", self._reason, TRIES)
                time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1))
        self._rests_until = time.monotonic() + REST
        raise Unreachable(self._reason)

    def _refuse(self, error: OSError) -> None:
        text = str(error)
        if any(sign in text for sign in BUCKET):
            raise UserError(f"SELKD_STORE: {self.uri} is in no bucket that exists. Make the bucket, or name another.")
        if (
            isinstance(error, PermissionError)
            or error.errno == errno.EROFS
            or any(sign in text for sign in CREDENTIALS)
        ):
            raise UserError(
                f"SELKD_STORE: {self.uri} may not be used ({_line(error)}). Set the credentials that this file system "
                "reads from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "GOOGLE_APPLICATION_CREDENTIALS), or ask for the rights to read, write, list and delete there."
            )


def _line(error: OSError) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
