"""The one closed family of cloudmon's errors.

Every class answers two questions for its catcher: can trying again help (``retriable``), and, for errors of a
cloud, is it certain that the call had no effect (``definite``)? The second decides whether another offer may be
tried: only a definite failure closes an incarnation.

No error carries a secret: adapters put identifiers and the cloud's own words in, never credentials or user data.
"""

from __future__ import annotations

from typing import ClassVar


class CloudmonError(Exception):
    """Something in cloudmon went wrong."""

    retriable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).splitlines()[0])

    @property
    def message(self) -> str:
        """The one sentence that is shown to a person."""
        return str(self.args[0])


# --- clouds -----------------------------------------------------------------------------------------------------


class CloudError(CloudmonError):
    """The cloud did not do what was asked.

    Arguments:
        message: what happened, in one sentence, with the cloud's own word for it.
        cloud: name of the configured cloud.
        code: the cloud's own error code (``InsufficientInstanceCapacity``), empty when it gave none.
    """

    definite: ClassVar[bool] = False

    def __init__(self, message: str = "", *, cloud: str = "", code: str = "") -> None:
        super().__init__(message)
        self.cloud = cloud
        self.code = code


class CredentialsRejected(CloudError):
    """The cloud rejected our credentials."""

    definite = True


class Unreachable(CloudError):
    """The cloud did not answer in time, or the connection broke; the call may have had its effect."""

    retriable = True


class RateLimited(CloudError):
    """The cloud asks us to slow down; the call had no effect.

    ``retry_after_s`` is the cloud's own wish in seconds, None when it named none.
    """

    retriable = True
    definite = True

    def __init__(
        self, message: str = "", *, cloud: str = "", code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, cloud=cloud, code=code)
        self.retry_after_s = retry_after_s


class OutOfCapacity(CloudError):
    """The cloud has no room for this size at this location now; another offer may do."""

    retriable = True
    definite = True


class QuotaExceeded(CloudError):
    """The account's limit is reached in this cloud; another cloud may do."""

    definite = True


class NotFound(CloudError):
    """The cloud knows no such node, image, size or location."""

    definite = True


class Refused(CloudError):
    """The cloud understood the call and refused it: wrong state, invalid parameter, spent token."""

    definite = True


class Unsupported(CloudError):
    """This provider cannot do that; nothing was tried."""

    definite = True


class UnexpectedAnswer(CloudError):
    """The cloud's answer cannot be trusted: wrong document, wrong type, a part instead of the whole."""

    retriable = True


# --- notifiers --------------------------------------------------------------------------------------------------


class NotifierError(CloudmonError):
    """The notifier did not tell it.

    Arguments:
        message: what happened, in one sentence, with the other side's own word for it; never its address in full.
        notifier: name of the configured notifier.
        code: the other side's own code (``429``), empty when it gave none.
    """

    def __init__(self, message: str = "", *, notifier: str = "", code: str = "") -> None:
        super().__init__(message)
        self.notifier = notifier
        self.code = code


class NotifierUnavailable(NotifierError):
    """The other side does not answer, or takes nothing now; it may have taken this one.

    ``retry_after_s`` is its own wish in seconds, None when it named none.
    """

    retriable = True

    def __init__(
        self, message: str = "", *, notifier: str = "", code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, notifier=notifier, code=code)
        self.retry_after_s = retry_after_s


class NoticeRefused(NotifierError):
    """The other side refuses this one; it may take others, and this one when somebody mended what it does not like."""

    retriable = True


# --- store ------------------------------------------------------------------------------------------------------


class StoreError(CloudmonError):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is locked or full; nothing was written."""

    retriable = True


class StoreBroken(StoreUnavailable):
    """The store is there and of no use until a person mends it: damaged, or without tables or rights."""

    retriable = False


class StoreLost(StoreError):
    """The store that the anchors tell of is not where it was."""


class StoreTooNew(StoreError):
    """The store was written by a newer cloudmon."""


class StoreOutdated(StoreError):
    """The store's schema is older than this cloudmon and must be upgraded first."""


class Fenced(StoreError):
    """A newer monitor owns the estate; this one must change nothing more."""


class MonitorAlreadyRuns(StoreError):
    """Another monitor runs on this store."""


# --- people -----------------------------------------------------------------------------------------------------


class SettingsError(CloudmonError):
    """A setting is wrong.

    ``file`` is where it stands (empty for the environment), ``key`` its dotted path, ``value`` what was found there
    as text (masked where the field is a secret).
    """

    def __init__(self, message: str = "", *, file: str = "", key: str = "", value: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.key = key
        self.value = value


class RequestRefused(CloudmonError):
    """What a person or program asked for cannot be done; the message says why and what to do instead."""


class LogBroken(CloudmonError):
    """The action log does not verify."""
