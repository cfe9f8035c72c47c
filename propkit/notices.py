"""Telling a person of a batch's end or trouble: by e-mail, a webhook, or a function of hers."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from email.message import EmailMessage
from typing import Final, Protocol

from propkit.errors import PropkitError
from propkit.items import State
from propkit.progress import Listener, Progress
from propkit.sections import NotifySettings

log = logging.getLogger(__name__)

_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What became of a batch: ``event`` is ``"ended"``, ``"failed"`` or ``"stuck"``.

    ``ended`` of ``total`` items, ``failed`` of them; ``seconds`` it took so far; ``error`` is its
    own, where it has one. The items of a batch that buys leads are pages: of the ``leads_expected``
    so many ``leads`` have come, for ``leads_cost`` (USD) beyond the quota; None of every other.
    """

    batch_id: str
    event: str = "ended"
    state: str
    ended: int
    total: int
    failed: int
    seconds: float
    error: str | None = None
    leads: int | None = None
    leads_expected: int = 0
    leads_cost: Decimal | None = None

    @property
    def title(self) -> str:
        """What happened, in one line."""
        parts = [f"propkit: batch {self._state}"]
        if self.leads is not None:
            parts += [self._leads, self._cost]
        if self.leads is None or self.failed:
            parts.append(self._reach)
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    @property
    def text(self) -> str:
        """What happened, in a few lines."""
        error = f"{self.error}\n" if self.error else ""
        bought = "" if self.leads is None else f"{self._leads} bought, {self._cost}.\n"
        return (
            f"Batch {self.batch_id} is {self._state} after {self.seconds:.0f} s:\n"
            f"{bought}{self._reach}, {self.failed} failed.\n{error}"
        )

    @property
    def _state(self) -> str:
        return "stuck" if self.event == "stuck" else self.state

    @property
    def _reach(self) -> str:
        return f"{self.ended} of {self.total} {'items' if self.leads is None else 'pages'}"

    @property
    def _leads(self) -> str:
        return f"{self.leads:,} of {self.leads_expected:,} leads"

    @property
    def _cost(self) -> str:
        return f"{self.leads_cost:,.2f} USD beyond the quota"


Notify = Callable[[Notice], object]
"""What is called with news of a batch, in a thread of its own; what it raises is logged."""


class Followed(Protocol):
    """A batch that can be waited for."""

    id: str

    @property
    def progress(self) -> Progress | None:
        """The newest event."""
        ...

    def wait_for_end(self) -> None:
        """Wait until it ends."""
        ...


class EndListener:
    """A listener that calls ``hooks`` once, when a batch of ``after_seconds`` or more has ended.

    Of one that failed they hear however short it was, or never: ``tells_failures``.
    """

    def __init__(
        self, hooks: Sequence[Notify], after_seconds: float, *, tells_failures: bool
    ) -> None:
        self._hooks = tuple(hooks)
        self._after_seconds = after_seconds
        self._tells_failures = tells_failures

    def __call__(self, progress: Progress) -> None:
        """Take an event."""
        stops = [one.stopped for one in progress.sources if one.stopped]
        has_failed = progress.state == "paused" and bool(stops)
        is_long = progress.elapsed_seconds >= self._after_seconds
        if progress.state == "running" or not (self._tells_failures if has_failed else is_long):
            return
        notice = Notice(
            batch_id=progress.batch_id,
            event="failed" if has_failed else "ended",
            state=progress.state,
            ended=progress.ended,
            total=progress.total,
            failed=progress.counts.get(State.FAILED, 0),
            seconds=round(progress.elapsed_seconds, 3),
            error="; ".join(stops) or None,
            leads=progress.leads,
            leads_expected=progress.leads_expected,
            leads_cost=progress.leads_cost,
        )
        hooks, self._hooks = self._hooks, ()
        tell(hooks, notice)


def tell(hooks: Sequence[Notify], notice: Notice) -> None:
    """Call hooks, in a thread of their own: others wait for the one that calls this."""
    if hooks:
        threading.Thread(target=_tell, args=(hooks, notice), name="propkit-notices").start()


def follow_end(batch: Followed, hooks: Sequence[Notify], after_seconds: float) -> None:
    """Call what is in ``hooks`` then, when a batch that was gone on with has ended."""

    def follow() -> None:
        try:
            batch.wait_for_end()
            progress = batch.progress
        except PropkitError as error:
            log.info("batch %s is not followed any more: %s", batch.id, error)
            return
        if progress is not None:
            EndListener(hooks, after_seconds, tells_failures=True)(progress)

    threading.Thread(target=follow, name="propkit-notices", daemon=True).start()


def make_hooks(settings: NotifySettings) -> list[Notify]:
    """Return the hooks that the settings ask for."""
    hooks: list[Notify] = []
    if settings.webhook is not None:
        hooks.append(lambda notice: post_notice(notice, str(settings.webhook)))
    if settings.mail_to:
        hooks.append(lambda notice: mail_notice(notice, settings))
    return hooks


def make_hook_listeners(hooks: Sequence[Notify], settings: NotifySettings) -> list[Listener]:
    """Return who tells a person's own functions of a batch's end, also of one that failed."""
    return [EndListener(hooks, settings.after_seconds, tells_failures=True)] if hooks else []


def make_end_listeners(settings: NotifySettings) -> list[Listener]:
    """Return who tells a person of a batch's end as the settings ask for; of failures others do."""
    hooks = make_hooks(settings)
    return [EndListener(hooks, settings.after_seconds, tells_failures=False)] if hooks else []


def post_notice(notice: Notice, url: str) -> None:
    """POST a notice as JSON: ``text`` for people and chats, and the fields of :class:`Notice`.

    Those of leads only where leads were bought. Money is text, so that no cent is lost.
    """
    told = asdict(notice)
    if notice.leads is None:
        told = {name: value for name, value in told.items() if not name.startswith("leads")}
    body = json.dumps({"text": notice.title, **told}, default=str).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "propkit"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 -- the settings take http(s) only
    with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
        pass


def mail_notice(notice: Notice, settings: NotifySettings) -> None:
    """Send a notice by e-mail."""
    import smtplib

    message = EmailMessage()
    message["Subject"] = notice.title
    message["From"] = settings.mail_from or settings.mail_to[0]
    message["To"] = ", ".join(settings.mail_to)
    message.set_content(notice.text)
    if settings.smtp_security == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.smtp_host,
            settings.smtp_port,
            timeout=_SECONDS,
            context=ssl.create_default_context(),
        )
    else:
        connection = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_SECONDS)
    with connection:
        if settings.smtp_security == "starttls":
            connection.starttls(context=ssl.create_default_context())
        if settings.smtp_user and settings.smtp_password is not None:
            connection.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        connection.send_message(message)


def _tell(hooks: Sequence[Notify], notice: Notice) -> None:
    for hook in hooks:
        try:
            hook(notice)
        except Exception as error:  # noqa: BLE001 -- a person's own function may raise anything
            log.warning("telling of batch %s failed: %r", notice.batch_id, error)
