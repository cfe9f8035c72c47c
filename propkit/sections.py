"""What may be set, section by section; :mod:`propkit.settings` reads it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainValidator,
    SecretStr,
    field_validator,
    model_validator,
)

from propkit.durations import Duration
from propkit.profiles import PROFILES, choose_profile, machine


def is_loopback(address: str) -> bool:
    """Whether an address is only reached from this computer."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _parse_rate(value: object) -> float | Literal["learn"] | None:
    if value is None or value == "learn":
        return value
    try:
        rate = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        rate = 0.0
    if isinstance(value, bool) or not 0 < rate < float("inf"):
        raise ValueError("expected requests per second as a number above 0, or 'learn'")
    return rate


Rate = Annotated[float | Literal["learn"], PlainValidator(_parse_rate)]


class SourceSettings(BaseModel):
    """What may be set for one source; what is not set is the source's own default."""

    model_config = ConfigDict(extra="forbid")

    base_url: HttpUrl | None = None
    token: SecretStr | None = None
    requests_per_second: Rate | None = None
    """The host's limit; ``"learn"`` finds it out, from the source's default on."""
    max_in_flight: int | None = Field(default=None, ge=1)
    max_requests: int | None = Field(default=None, ge=1)
    """Most requests to the source's host in one run; None: no limit."""
    max_age: Duration | None = None
    page_size: int | None = Field(default=None, ge=1, le=500)
    """Records of one paid request, where a source sells by the page (400)."""
    user_agent: str | None = None
    obey_robots: bool = True
    kind: Literal["arcgis", "socrata", "file"] | None = None
    """Makes the source a map layer of your own; it then needs url, county and fields."""
    url: HttpUrl | None = None
    """The layer's address."""
    county: str | None = None
    """Whose parcels the layer has: ``bexar_tx``."""
    fields: dict[str, str | list[str] | dict[str, Any]] = Field(default_factory=dict)
    """The layer's fields by column of ``parcels``; ``apn`` is needed."""
    where: str | None = None
    """What picks the county's parcels, in the layer's own SQL."""
    licence: str | None = None
    """What the publisher says about use; kept with what is collected."""
    file: dict[str, str] = Field(default_factory=dict)
    """How a file is read: format, and member, layer, longitude, latitude, srs, encoding."""

    @field_validator("base_url")
    @classmethod
    def _holds_no_credentials(cls, url: HttpUrl | None) -> HttpUrl | None:
        if url is not None and (url.username or url.password):
            # They would stand in every log line, error and stored address.
            raise ValueError("an address must not hold a user name or password; use token")
        return url

    @model_validator(mode="after")
    def _describes_a_layer(self) -> SourceSettings:
        told = [name for name in ("url", "county", "fields", "where") if getattr(self, name)]
        if self.kind is None and told:
            raise ValueError(f"{', '.join(told)} describe a layer: set kind too")
        return self

    @field_validator("token", "user_agent", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value


MOST_WORKERS: Final = 1000
"""Each is a task in the collector's thread, whatever the hosts' paces let be in flight."""


class CollectSettings(BaseModel):
    """How batches are run, whatever the source.

    ``workers`` and ``strategy`` are the profile's unless they are given.
    """

    model_config = ConfigDict(extra="forbid")

    profile: Literal["conservative", "balanced", "fast", "auto"] = "balanced"
    """How hard to work; ``"auto"`` chooses by cores and memory."""
    workers: int = Field(default=3, ge=1, le=MOST_WORKERS)
    """Most items in work at once on each host (1, 3 or 8 by the profile)."""
    strategy: Literal["sequential", "parallel", "hybrid"] = "parallel"
    """``"sequential"``: one request at a time; ``"hybrid"``: one at a time on each host."""
    batch_size: int | None = Field(default=None, ge=1)
    """Most parcels in one run of a batch, the others wait for ``batch.resume()``; None: all."""
    ageing_seconds: float = Field(default=30.0, gt=0)
    """In this time a waiting request gains one rank of priority, so that nothing starves."""
    progress_seconds: float = Field(default=0.2, gt=0)
    """Progress is shown at most so often."""
    request_timeout: float = Field(default=30.0, gt=0)
    """Seconds to wait for one answer."""
    retry_attempts: int = Field(default=4, ge=1)
    """Most tries of one request, the first included."""
    backoff_initial: float = Field(default=0.5, ge=0)
    """Seconds; the n-th pause is drawn from 0 to ``backoff_initial * 2 ** (n - 1)``."""
    backoff_max: float = Field(default=30.0, ge=0)
    """Seconds; no drawn pause is longer."""
    retry_after_max: float = Field(default=300.0, ge=0)
    """Seconds; a source that asks for a longer pause is given up for the item."""
    item_timeout: float = Field(default=300.0, gt=0)
    """Seconds for one item, its attempts included, its waits for a place at the host left out."""
    breaker_failures: int = Field(default=5, ge=1)
    """Failures in a row after which a source is paused."""
    breaker_seconds: float = Field(default=30.0, gt=0)
    """Pause before the first probe of a paused source; each further pause is twice as long."""
    breaker_seconds_max: float = Field(default=300.0, gt=0)
    """No pause of a source is longer."""
    breaker_probes: int = Field(default=3, ge=1)
    """Most probes of a paused source, until a person looks."""
    drift_guard: bool = True
    """Stop a source whose answers suddenly leave out what they used to give."""
    stale_ok: bool = False
    """Keep a record that is too old, and say so, where its source is down."""
    settle_seconds: float = Field(default=60.0, ge=0)
    """So long may a paid request without an answer still take effect; no earlier is it settled."""
    auto_resume: bool = False
    """Go on with unfinished batches when the store is opened."""
    enhance: bool | None = None
    """Complete the first hits of a search in the background; None: in notebooks only."""
    enhance_top: int = Field(default=20, ge=1)
    """How many hits of a search are completed."""

    @model_validator(mode="before")
    @classmethod
    def _take_from_profile(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        name = given.get("profile", "balanced")
        if not isinstance(name, str) or name not in {*PROFILES, "auto"}:
            return given  # a fault of its own
        chosen = choose_profile(name, *machine())
        taken = {"workers": chosen.workers, "strategy": chosen.strategy}
        return {**given, **{key: taken[key] for key in taken if given.get(key) is None}}

    @property
    def pace_share(self) -> float:
        """The share of each known pace that the profile uses, 0 to 1."""
        return choose_profile(self.profile, *machine()).pace_share


class BrowsingSettings(BaseModel):
    """The browser that pages are opened in, where that is the way in; its path is ``browser``."""

    model_config = ConfigDict(extra="forbid")

    pages: int = Field(default=4, ge=1, le=64)
    """Most pages open at once, each an item's own."""
    browsers: int = Field(default=1, ge=1, le=16)
    """Most browsers among which the pages are divided."""
    items_per_page: int = Field(default=50, ge=1)
    """A page is closed for a new one after so many items."""
    items_per_browser: int = Field(default=1000, ge=1)
    """A browser is closed for a new one after so many items."""
    page_memory_mb: int = Field(default=256, ge=16)
    """A page whose scripts hold more is closed after its item; twice as much ends it at once."""
    memory_mb: int = Field(default=2048, ge=512)
    """Ceiling on the resident memory of all browsers, their processes included (MiB)."""
    idle_seconds: float = Field(default=60.0, ge=0)
    """Browsers are closed when nobody has asked for a page for so long."""
    headed: bool = False
    """Show the browser's windows."""
    block: tuple[Literal["image", "font", "media", "stylesheet"], ...] = ("image", "font", "media")
    """What of a page is not loaded."""

    @model_validator(mode="after")
    def _has_a_page_for_each(self) -> BrowsingSettings:
        if self.browsers > self.pages:
            raise ValueError(f"{self.browsers} browsers are too many for pages = {self.pages}")
        return self


class PosterSettings(BaseModel):
    """An account at a site that listings are posted to, and what its rows do not say themselves."""

    model_config = ConfigDict(extra="forbid")

    base_url: HttpUrl | None = None
    account: str | None = None
    """The name that the account logs in with, often a mail address."""
    password: SecretStr | None = None
    """None: the login is kept from the last time, asked for, or done by hand (``headed``)."""
    category: str | None = None
    """Name or number of the category, where a row has none; None: the first that is suggested."""
    condition: str | None = None
    seller: str | None = None
    location: str | None = None
    phone: str | None = None
    workers: int = Field(default=1, ge=1, le=8)
    """Most listings posted at once, each in a window of its own."""
    pace_seconds: float | None = Field(default=None, ge=0)
    """From one listing to the next at least; None: what the poster thinks polite."""
    headed: bool = False
    """Show the windows, so that a person can solve what only a person can."""
    person_seconds: float | None = Field(default=None, ge=0)
    """So long is waited for that person; None: ten minutes in a window that shows, else not."""
    step_seconds: float = Field(default=30.0, gt=0)
    """So long may one step of the form take."""
    confirm_seconds: float = Field(default=60.0, gt=0)
    """So long may it take from the last click to the listing's own page."""
    settle_seconds: float | None = Field(default=None, ge=0)
    """So long after the last click may a listing still appear; None: what the poster thinks."""
    user_agent: str | None = None
    """None: the browser's own."""
    obey_robots: bool = True
    """Stop where the site's robots.txt forbids the posting form to robots."""

    @field_validator("password", "account", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value


class StoreSettings(BaseModel):
    """What the store keeps besides the records, which are kept for ever."""

    model_config = ConfigDict(extra="forbid")

    keep: Duration | None = None
    """Age at which old answers and logs are dropped, when the store is opened; None: never."""
    serve: bool = True
    """Let other processes work with the store while this one holds it."""
    serve_address: str = "127.0.0.1"
    """Where they reach it; any other than this computer's own needs TLS."""
    tls_certificate: Path | None = None
    """The server's certificate (PEM), which guests check."""
    tls_key: Path | None = None
    """The certificate's private key (PEM)."""
    files_in_sql: Literal["nobody", "owner", "everyone"] = "owner"
    """Whose SQL may read files beside the store; ``"nobody"`` locks DuckDB itself."""

    @model_validator(mode="after")
    def _needs_tls(self) -> StoreSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; set both or none")
        if not is_loopback(self.serve_address) and self.tls_key is None:
            raise ValueError(
                f"serve_address {self.serve_address!r} can be reached from other computers; "
                "set tls_certificate and tls_key too"
            )
        return self


class WorkerSettings(BaseModel):
    """How a worker, the process that runs batches for notebooks, does so."""

    model_config = ConfigDict(extra="forbid")

    batches: int = Field(default=4, ge=1)
    """Most batches at once; others wait for their turn, critical ones do not."""
    idle_seconds: float = Field(default=300.0, ge=0)
    """A worker that a kit started ends when nothing ran and nobody asked for so long."""
    notify: tuple[str, ...] = ()
    """A command that is run, with JSON on its input, when a batch failed or is stuck, by the
    process that owns the store: a worker, or a notebook."""


class ServerSettings(BaseModel):
    """What Jupyter's server offers over HTTP (:mod:`propkit.server`)."""

    model_config = ConfigDict(extra="forbid")

    store: Path = Path("propkit.duckdb")
    """The store, in the folder that Jupyter shows or below it."""
    administrators: tuple[str, ...] = ()
    """The users who may cancel, retry and delete everybody's jobs."""
    requests_per_second: float = Field(default=100.0, gt=0)
    """Most requests of one user, in the long run; at once twice as many."""
    max_request_bytes: int = Field(default=2**20, ge=1)
    """The largest request that is read."""
    per_page: int = Field(default=50, ge=1, le=200)
    """How many jobs a page has, unless the request says."""
    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """How long a stream of events is silent at most."""


class PostingSettings(BaseModel):
    """How a listing sheet is posted (:mod:`propkit.posting`)."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, str | int] = Field(default_factory=dict)
    """By field (row_key, title, price, posting_status, ...) the sheet's column, or its place."""
    store: Path | None = None
    """The ledger; None: ``postings.duckdb`` beside the sheet."""
    faulty: Literal["stop", "skip"] = "stop"
    """Whether rows that cannot be posted as they are stop all, or are left out with an error."""
    workers: int = Field(default=1, ge=1)
    """Most listings posted at once, where the poster allows it."""
    seconds_between: float | None = Field(default=None, ge=0)
    """Seconds from one listing to the next; None: the poster's own."""
    jitter_seconds: float | None = Field(default=None, ge=0)
    """A pause drawn from 0 to this comes on top; None: the poster's own."""
    retry_attempts: int = Field(default=3, ge=1)
    """Most tries of one listing, as long as it was certainly not sent."""
    backoff_initial: float = Field(default=2.0, ge=0)
    """Seconds; the n-th pause is drawn from 0 to ``backoff_initial * 2 ** (n - 1)``."""
    backoff_max: float = Field(default=60.0, ge=0)
    """Seconds; no drawn pause is longer."""
    row_timeout: float = Field(default=900.0, gt=0)
    """Seconds for one try of one listing, a person's help with a captcha included."""
    grace_seconds: float = Field(default=30.0, ge=0)
    """After Interrupt, what is sent already has so long to come to its end."""
    save_seconds: float = Field(default=30.0, gt=0)
    """The sheet is saved at least so often, where anything is new."""
    save_share: float = Field(default=0.1, gt=0, le=1)
    """The sheet is saved after this share of the rows, too."""


class NotifySettings(BaseModel):
    """Who is told when a batch that took a while has ended, or one failed or is stuck."""

    model_config = ConfigDict(extra="forbid")

    after_seconds: float = Field(default=60.0, ge=0)
    """Of ends only those of batches that took so long are told of."""
    webhook: HttpUrl | None = Field(default=None, repr=False)
    """An address that is sent JSON; whoever knows it can write there, so it is shown nowhere."""
    mail_to: tuple[str, ...] = ()
    """E-mail addresses; none, no mail is sent."""
    mail_from: str | None = None
    """The sender's address; None: the first of ``mail_to``."""
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None

    @model_validator(mode="after")
    def _guards_the_password(self) -> NotifySettings:
        is_open = self.smtp_security == "none" and not is_loopback(self.smtp_host)
        if self.smtp_password is not None and is_open:
            raise ValueError("smtp_password would be sent in the open; set smtp_security")
        return self
