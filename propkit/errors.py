"""What can go wrong, by what you should do about it.

::

    PropkitError
    ├── IdentifierError          (ValueError) fix the list: no APN, no such column, unreadable file
    ├── RequestError             (ValueError) fix the call: unknown table, bad duration, unknown source
    ├── SettingsError            (ValueError) fix propkit.toml or the PROPKIT_* variable
    ├── SourceError              one item failed at one source; the batch goes on
    │   ├── SourceUnavailableError   try again later: refused, 429, 5xx after all attempts
    │   │   └── SourceTimeoutError   the same, by silence
    │   ├── SourceBlockedError       stop this source and ask a person: captcha, challenge, login wall
    │   ├── SourceRejectedError      stop this source and renew the credentials
    │   ├── InvalidAnswerError       not what was asked for: cut body, HTML for JSON, empty 200
    │   │   └── SessionLostError     the site forgot which parcel the session is about
    │   │       └── BrowserLostError the session died with its browser; the item is started again
    │   ├── LayoutChangedError       fix the parser; never retried
    │   ├── PurchaseUnsettledError   a paid request got no clear answer: kit.settle() finds out
    │   ├── BudgetSpentError         raise the budget or the cap, or go on in another run
    │   └── CollectionCancelledError the batch was cancelled before the answer came
    ├── StoreError               the DuckDB file cannot be opened, read or written
    │   ├── StoreInUseError          another program holds the file: close it there, or name another file
    │   └── ProcessEndsError         the process ends under a batch; the next one goes on with it
    ├── SheetError               (ValueError) fix the listing sheet: missing columns, values, images
    ├── PostingError             one listing was not published; before the last click tried again
    │   ├── PostingRefusedError      the site says no: change the row
    │   ├── PostingUnknownError      it may be published: looked for, never posted again blindly
    │   └── PersonNeededError        captcha, second factor, login: the run stops and asks a person
    ├── DryRunEndedError         a dry run has come to the last click, which is not made
    ├── ExportError              the workbook cannot be written
    └── BrowserNotFoundError     install a browser or set PROPKIT_BROWSER

Every ``SourceError`` has a ``failure_class``, the word that stands in the table ``items``.
"""

from __future__ import annotations

from typing import ClassVar, Final

_MOST_SHOWN: Final = 150
"""Characters of an address that a message shows; ``url`` has all of it."""


class PropkitError(Exception):
    """Base of every error that propkit raises on purpose."""


class IdentifierError(PropkitError, ValueError):
    """The identifiers cannot be read; the message names the value and what was expected."""


class RequestError(PropkitError, ValueError):
    """An argument of a call is wrong; the message names the value and the choices."""


class SettingsError(PropkitError, ValueError):
    """A setting is missing or wrong; the message names the setting."""


class SourceError(PropkitError):
    """One key could not be collected from one source.

    Parameters
    ----------
    message
        What happened, in one sentence.
    url
        The address that was asked, when there was one.
    """

    failure_class: ClassVar[str] = "unavailable"

    def __init__(self, message: str, *, url: str | None = None) -> None:
        super().__init__(message)
        self.url = url

    def __str__(self) -> str:
        """Return the message, with the address behind it, a long one cut."""
        text = super().__str__()
        if not self.url:
            return text
        is_long = len(self.url) > _MOST_SHOWN
        return f"{text} ({self.url[:_MOST_SHOWN]}{'…' if is_long else ''})"


class SourceUnavailableError(SourceError):
    """The source did not answer usefully after all attempts."""


class SourceTimeoutError(SourceUnavailableError):
    """The source did not answer in time."""

    failure_class = "timeout"


class SourceBlockedError(SourceError):
    """The source shows a captcha, a challenge, a login or a block page, or forbids the page."""

    failure_class = "blocked"


class SourceRejectedError(SourceError):
    """The source refuses the credentials, or they are missing."""

    failure_class = "rejected"


class InvalidAnswerError(SourceError):
    """The answer is not what was asked for and says nothing about the parcel."""

    failure_class = "invalid_answer"


class SessionLostError(InvalidAnswerError):
    """A session-bound page is about another parcel, or about none: start the item again."""


class BrowserLostError(SessionLostError):
    """The page's browser crashed, hung or was killed: start the item again in another."""

    failure_class = "unavailable"


class LayoutChangedError(SourceError):
    """The answer has a layout that the parser does not know."""

    failure_class = "layout_changed"


class PurchaseUnsettledError(SourceError):
    """Whether a paid request was bought is not known; nothing more is bought until it is."""

    failure_class = "unsettled"


class BudgetSpentError(SourceError):
    """The credits or the requests that a run may spend are spent."""

    failure_class = "budget"


class CollectionCancelledError(SourceError):
    """The batch was cancelled before the source was asked."""

    failure_class = "cancelled"


class StoreError(PropkitError):
    """The store cannot be opened, read or written."""


class StoreInUseError(StoreError):
    """Another process holds the file; ``pid`` is its process id, None where it is not known."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class ProcessEndsError(StoreError):
    """The process ends while a batch runs: what is stored stays, the rest waits."""


class SheetError(PropkitError, ValueError):
    """The listing sheet cannot be posted as it is; the message names every fault."""


class PostingError(PropkitError):
    """A listing was certainly not published."""


class PostingRefusedError(PostingError):
    """The site refuses the listing: a duplicate, a limit, a forbidden word; not tried again."""


class PostingUnknownError(PostingError):
    """Whether a listing was published is not known."""


class PersonNeededError(PostingError):
    """Only a person can go on: a captcha, a second factor, a login that is refused."""


class DryRunEndedError(PropkitError):
    """A dry run has come to the last click; a poster lets it through."""


class ExportError(PropkitError):
    """A workbook cannot be written."""


class BrowserNotFoundError(PropkitError):
    """No usable browser was found."""


FAILURE_CLASSES: Final = (
    "unavailable",
    "timeout",
    "blocked",
    "rejected",
    "invalid_answer",
    "layout_changed",
    "unsettled",
    "budget",
    "cancelled",
)
"""Every failure class, the word that stands in the table ``items``."""
