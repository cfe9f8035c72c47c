"""No row twice: what is in doubt is looked for first, and what nobody can tell is left to a person."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import propkit as pk
from propkit.errors import (
    PersonNeededError,
    PostingError,
    PostingRefusedError,
    PostingUnknownError,
    RequestError,
    StoreError,
    StoreInUseError,
)
from propkit.posters import Poster, PosterLimits
from propkit.posting import engine, ledger
from propkit.posting.attempts import judge
from propkit.posting.planning import decide
from propkit.posting.statuses import read_status
from propkit.store import Reading, Store
from propkit.store.postings import Posting, write_posting
from tests.posting.sheets import make_trucks, outcomes, posted_today, read_sheet, statuses
from tests.posting.site import FakeSite, SitePoster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Post = Callable[..., pk.PostingReport]


PNG = b"\x89PNG\r\n\x1a\n"


def leave_in_doubt(path: Path, keys: list[str], sheet: str, **values: Any) -> None:
    """Write a ledger as a run leaves it that was killed after the last click."""
    store = Store.open(path)
    for key in keys:
        given = {
            "run_id": "killed",
            "poster": "fake_site",
            "sheet": sheet,
            "row_key": key,
            "content_sha256": "0",
            "title": f"Truck {key}",
            "state": "sent",
            "sent_at": datetime.now(UTC),
            **values,
        }
        write_posting(store, Posting(**given)).result()
    store.close()


def ledger_of(path: Path) -> pd.DataFrame:
    with pk.open(path) as kit:
        return kit.frame("listings")


def test_the_test_poster_is_a_poster(site: FakeSite) -> None:
    assert isinstance(SitePoster(site), Poster)


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (PostingError("x"), "retry", "failed"),
        (PostingRefusedError("x"), "failed", "failed"),
        (PostingUnknownError("x"), "retry", "doubt"),
        (PersonNeededError("x"), "person", "person"),
        (TimeoutError(), "retry", "doubt"),
        (KeyError("x"), "retry", "doubt"),
    ],
)
def test_an_error_means_what_the_table_says(error: Exception, before: str, after: str) -> None:
    """The table stands in propkit/posters/_base.py."""
    assert judge(error, is_sent=False) == before
    assert judge(error, is_sent=True) == after


def test_what_may_be_published_is_looked_for_first(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.duckdb"
    leave_in_doubt(ledger, ["T002", "T003"], "trucks")
    poster = SitePoster(site)
    asyncio.run(_publish(site, "T003"))

    report = post(make_trucks(3), poster=poster, name="trucks")

    assert poster.calls == [
        *["open", "login", "find T002", "find T003"],
        *["post T001", "post T002", "close"],
    ]
    assert set(outcomes(report).values()) == {"posted"}
    assert report.results[2].reason == "found on the account's own page"
    assert site.counts() == {"T001": 1, "T002": 1, "T003": 1}


async def _publish(site: FakeSite, key: str) -> None:
    async def sending() -> None:
        pass

    from propkit.posters import Listing

    await SitePoster(site).post(Listing(row_key=key, title=f"Truck {key}"), sending)


def test_nothing_is_absent_before_it_could_appear(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    """A listing may take a while to appear; until then its absence proves nothing."""
    limits = PosterLimits(required=("title",), settle_seconds=0.5)

    report = post(make_trucks(2), faults={"T001": ["lost"]}, limits=limits)

    assert outcomes(report) == {"T001": "failed", "T002": "posted"}
    assert report.results[0].error == (
        "not published: not on the account's own page (ConnectionError: connection lost)"
    )
    with pk.open(tmp_path / "ledger.duckdb") as kit:
        row = kit.frame("postings").iloc[0]
    assert row["ended_at"] - row["sent_at"] >= timedelta(seconds=0.5)


def test_a_row_from_before_that_never_appears_is_posted(
    post: Post, site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_in_doubt(tmp_path / "ledger.duckdb", ["T001"], "trucks")
    waits = iter([0.1, 0.1])
    monkeypatch.setattr(engine, "unsettled_seconds", lambda *_: next(waits, 0.0))
    poster = SitePoster(site)

    report = post(make_trucks(2), poster=poster, name="trucks")

    assert set(outcomes(report).values()) == {"posted"}
    # The other rows do not wait for it.
    assert poster.calls[2:] == [
        *["find T001", "post T002", "find T001", "find T001", "post T001", "close"],
    ]
    assert site.counts() == {"T001": 1, "T002": 1}


def test_a_price_that_was_changed_meanwhile_hides_nothing(post: Post, site: FakeSite) -> None:
    """The listing in doubt stands on the site with the price of then: it is this row's."""
    sheet = make_trucks(1, price=[9000])
    first = post(sheet, name="trucks", faults={"T001": ["dropped"]}, can_find=False)

    second = post(sheet.assign(price=8500), name="trucks")

    assert (outcomes(first), outcomes(second)) == ({"T001": "unknown"}, {"T001": "posted"})
    assert second.results[0].reason == "found on the account's own page"
    assert site.counts() == {"T001": 1}


def test_what_nobody_can_tell_needs_a_person(post: Post, site: FakeSite, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_trucks(2).to_excel(path, index=False)

    first = post(path, faults={"T001": ["lost"]}, can_find=False)
    again = [post(path, mode, can_find=False) for mode in ("new", "all")]

    assert [outcomes(one)["T001"] for one in (first, *again)] == ["unknown"] * 3
    assert (first.success, first.failed_posts, first.needs_person) == (False, 1, ("T001",))
    assert first.message == "trucks.xlsx/Sheet1: 1 posted, 0 failed, 1 need a person, 0 skipped"
    assert site.counts() == {"T002": 1}
    assert statuses(path)["T001"] == (
        "Error: needs a person: look at https://site.example;"
        ' write "not posted" or "Posted YYYY-MM-DD" here'
    )


@pytest.mark.parametrize(
    ("word", "outcome", "counts"),
    [("not posted", "posted", {"T001": 1}), ("Posted 2026-11-20", "skipped", {})],
)
def test_a_person_settles_it_in_the_sheet(
    post: Post, tmp_path: Path, word: str, outcome: str, counts: Any
) -> None:
    path, site = tmp_path / "trucks.csv", FakeSite(tmp_path / "site.jsonl")
    make_trucks(1).to_csv(path, index=False)
    post(path, faults={"T001": ["lost"]}, can_find=False)
    frame = read_sheet(path)
    frame["posting_status"] = word
    frame.to_csv(path, index=False)

    report = post(path, can_find=False)
    later = post(path, "all", can_find=False)

    assert outcomes(report) == {"T001": outcome}
    assert outcomes(later) == {"T001": "skipped"}
    assert site.counts() == counts
    status = posted_today() if counts else word
    assert statuses(path) == {"T001": status}
    frame = ledger_of(tmp_path / "ledger.duckdb")
    assert list(frame["posting_status"]) == ["posted"]
    assert f"Posted {frame['posted_on'][0]}" == status


def test_an_old_word_of_a_person_settles_nothing_new(post: Post, tmp_path: Path) -> None:
    """It was written about an earlier attempt: the sheet has not asked about this one."""
    leave_in_doubt(tmp_path / "ledger.duckdb", ["T001"], "trucks", state="unknown")
    sheet = make_trucks(1, posting_status=["not posted"])

    report = post(sheet, name="trucks", can_find=False)

    assert outcomes(report) == {"T001": "unknown"}


def test_what_was_posted_stays_posted_when_the_sheet_forgets(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    """An older copy of the workbook comes back, perhaps with another price."""
    path = tmp_path / "trucks.csv"
    make_trucks(2).to_csv(path, index=False)
    post(path)
    make_trucks(2, price=[5, 6]).to_csv(path, index=False)

    report = post(path)

    assert set(outcomes(report).values()) == {"skipped"}
    assert statuses(path) == {"T001": posted_today(), "T002": posted_today()}
    assert site.counts() == {"T001": 1, "T002": 1}


def test_a_copy_of_the_sheet_posts_nothing_twice(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    path, copy = tmp_path / "trucks.csv", tmp_path / "copy of trucks.csv"
    make_trucks(2).to_csv(path, index=False)
    make_trucks(3).to_csv(copy, index=False)
    post(path)

    report = post(copy)

    assert outcomes(report) == {"T001": "skipped", "T002": "skipped", "T003": "posted"}
    assert site.counts() == {"T001": 1, "T002": 1, "T003": 1}


def test_a_repost_is_made_once(post: Post, site: FakeSite) -> None:
    """Interrupted, the same call goes on with what is left."""
    post(make_trucks(3), name="trucks")
    stop = iter([False, True, True])

    def at(step: str) -> None:
        if step == "before_sent" and next(stop):
            raise PersonNeededError("captcha")

    first = post(make_trucks(3), "all", name="trucks", repost=True, at=at)
    second = post(make_trucks(3), "all", name="trucks", repost=True)
    third = post(make_trucks(3), "all", name="trucks")

    assert outcomes(first) == {"T001": "posted", "T002": "failed", "T003": "not_reached"}
    assert outcomes(second) == {"T001": "skipped", "T002": "posted", "T003": "posted"}
    assert set(outcomes(third).values()) == {"skipped"}
    assert site.counts() == {"T001": 2, "T002": 2, "T003": 2}


def test_a_captcha_stops_the_run_and_nothing_is_lost(post: Post, site: FakeSite) -> None:
    first = post(make_trucks(3), faults={"T002": ["captcha"]})
    second = post(make_trucks(3))

    assert outcomes(first) == {"T001": "posted", "T002": "failed", "T003": "not_reached"}
    assert (first.state, first.success) == ("stopped", False)
    assert first.message.endswith("1 not reached (stopped); a person is needed: captcha")
    assert outcomes(second) == {"T001": "skipped", "T002": "posted", "T003": "posted"}


def test_a_changed_site_stops_the_run_when_trying_again_does_not_help(
    post: Post, site: FakeSite
) -> None:
    changed = post(make_trucks(3), faults={"T002": ["changed"] * 99})
    slow = post(make_trucks(3), faults={"T002": ["changed"]})

    assert slow.success
    assert outcomes(changed) == {"T001": "posted", "T002": "failed", "T003": "not_reached"}
    assert changed.state == "stopped"
    assert "; the site is not as the poster knows it: no field 'title'" in changed.message


def test_a_captcha_after_the_last_click_is_in_doubt(post: Post, site: FakeSite) -> None:
    report = post(make_trucks(2), faults={"T001": ["captcha_late"]})

    assert outcomes(report) == {"T001": "unknown", "T002": "not_reached"}
    assert site.counts() == {}


@pytest.mark.parametrize(
    ("faults", "outcome", "logins"),
    [
        (["early"] * 2, "posted", 3),
        (["early"] * 3, "not_reached", 3),
        (["captcha"], "not_reached", 1),
    ],
)
def test_a_login_is_tried_again_unless_a_person_is_needed(
    post: Post, site: FakeSite, faults: list[str], outcome: str, logins: int
) -> None:
    poster = SitePoster(site, faults={"": faults})

    report = post(make_trucks(1), poster=poster)

    assert outcomes(report) == {"T001": outcome}
    assert poster.calls.count("login") == logins
    assert poster.calls[-1] == "close"


def test_a_captcha_at_a_look_stops_the_run(post: Post, site: FakeSite, tmp_path: Path) -> None:
    leave_in_doubt(tmp_path / "ledger.duckdb", ["T001"], "trucks")

    first = post(make_trucks(2), name="trucks", faults={"find T001": ["captcha"]})
    second = post(make_trucks(2), name="trucks")

    assert outcomes(first) == {"T001": "unknown", "T002": "not_reached"}
    assert first.results[0].error == "the run ended after the last click; captcha"
    assert (first.state, second.success) == ("stopped", True)
    assert site.counts() == {"T001": 1, "T002": 1}


def test_nothing_is_opened_where_nothing_is_to_be_posted(post: Post, site: FakeSite) -> None:
    poster = SitePoster(site)

    post(make_trucks(1, posting_status=["Posted 2026-11-22"]), poster=poster)

    assert poster.calls == []


def test_rows_run_side_by_side_only_where_the_poster_allows(post: Post, site: FakeSite) -> None:
    limits = PosterLimits(required=("title",), workers=3)
    alone, together = SitePoster(site), SitePoster(site, limits=limits)

    post(make_trucks(6), poster=alone, workers=8, name="a")
    post(make_trucks(6, note=list("abcdef")), poster=together, workers=8, name="b")

    assert (alone.most_in_flight, together.most_in_flight) == (1, 3)
    assert site.counts() == dict.fromkeys(make_trucks(6)["truck_id"], 2)


def test_doubts_are_looked_for_while_nothing_is_sent(post: Post, site: FakeSite) -> None:
    """Two rows with one title: the listing of one may not prove the other."""
    sheet = make_trucks(6)
    sheet["title"] = "Truck"
    limits = PosterLimits(required=("title",), workers=3)
    faults = {"T001": ["dropped"], "T002": ["lost"], "T004": ["dropped"]}
    poster = SitePoster(site, faults=faults, limits=limits)

    report = post(sheet, poster=poster, workers=3)

    finds = [place for place, call in enumerate(poster.calls) if call.startswith("find")]
    posts = [place for place, call in enumerate(poster.calls) if call.startswith("post")]
    assert min(finds) > max(posts)
    # Two listings fit each of the rows in doubt: which one is whose, nobody can tell.
    assert [one.row_key for one in report.results if one.outcome == "unknown"] == [
        *["T001", "T002", "T004"],
    ]
    assert site.counts() == {"T001": 1, "T003": 1, "T004": 1, "T005": 1, "T006": 1}


def test_the_pace_is_kept(post: Post) -> None:
    started = datetime.now(UTC)

    post(make_trucks(4), posting={"seconds_between": 0.2, "jitter_seconds": 0.01})

    assert datetime.now(UTC) - started >= timedelta(seconds=0.6)


def test_a_second_last_click_is_refused(post: Post) -> None:
    report = post(make_trucks(1), faults={"T001": ["twice"]})

    assert outcomes(report) == {"T001": "posted"}
    assert report.results[0].reason == "found on the account's own page"


def test_an_error_of_the_posters_own_is_tried_again(post: Post, site: FakeSite) -> None:
    report = post(make_trucks(1), faults={"T001": ["bug", "early"]})

    assert outcomes(report) == {"T001": "posted"}
    assert report.results[0].attempt == 3


def test_a_row_that_hangs_before_the_last_click_has_failed(post: Post, site: FakeSite) -> None:
    posting = {"row_timeout": 0.3, "retry_attempts": 1}

    report = post(make_trucks(1), faults={"T001": ["hang"]}, posting=posting)

    assert outcomes(report) == {"T001": "failed"}
    assert report.results[0].error == "TimeoutError"


def test_a_dry_run_posts_and_writes_nothing(post: Post, site: FakeSite, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_trucks(3, posting_status=["", "", "Posted 2026-11-22"]).to_excel(path, index=False)
    before = path.read_bytes()
    poster = SitePoster(site, faults={"T002": ["refused"]})

    report = post(path, poster=poster, dry_run=True)

    assert outcomes(report) == {"T001": "ready", "T002": "failed", "T003": "skipped"}
    assert (report.is_dry_run, report.successful_posts) == (True, 0)
    assert poster.calls[2:4] == ["post T001", "post T002"]
    assert site.listings() == []
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["trucks.xlsx"]


def test_a_dry_run_does_not_look_and_knows_the_ledger(post: Post, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.duckdb"
    leave_in_doubt(ledger, ["T001"], "trucks")

    report = post(make_trucks(2), name="trucks", dry_run=True)

    assert outcomes(report) == {"T001": "skipped", "T002": "ready"}
    assert report.results[0].reason == "may be posted already; a run looks for it"


def test_two_runs_over_one_sheet_are_refused(post: Post, tmp_path: Path) -> None:
    def at(step: str) -> None:
        if step == "before_sent":
            with pytest.raises(RequestError, match="trucks is being posted already"):
                post(make_trucks(1), name="trucks")

    assert outcomes(post(make_trucks(1), name="trucks", at=at)) == {"T001": "posted"}


def test_the_ledger_may_be_a_kits_store(post: Post, tmp_path: Path) -> None:
    with pk.open(tmp_path / "kit.duckdb") as kit:
        post(make_trucks(2), faults={"T002": ["refused"]}, store=kit, name="trucks")
        frame = kit.frame("listings")

    kept = frame.drop(columns=["posted_at", "posted_on"]).astype(object).to_dict("records")
    assert kept == [
        {
            "poster": "fake_site",
            "sheet": "trucks",
            "row_key": "T001",
            "title": "Truck T001",
            "posting_status": "posted",
            "posted_url": "https://site.example/1",
            "posting_error": None,
            "attempt": 1,
            "state": "confirmed",
        },
        {
            "poster": "fake_site",
            "sheet": "trucks",
            "row_key": "T002",
            "title": "Truck T002",
            "posting_status": "failed",
            "posted_url": None,
            "posting_error": "a duplicate",
            "attempt": 1,
            "state": "failed",
        },
    ]


def test_a_ledger_that_cannot_be_opened_posts_nothing(
    post: Post, site: FakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(path: Path) -> Store:
        raise StoreInUseError("process 4711 holds it", pid=4711)

    monkeypatch.setattr(Store, "open", refuse)
    poster = SitePoster(site)

    with pytest.raises(StoreInUseError):
        post(make_trucks(1), poster=poster)

    assert poster.calls == []


def test_a_proof_is_decided_by_the_rules() -> None:
    """A listing that a repost published in this run is not posted again by it."""
    proof = Posting(
        run_id="r1", poster="p", sheet="s", row_key="k", content_sha256="0", title="t",
        state="confirmed",
    )  # fmt: skip
    blank = read_status("")

    def action(run_id: str, *, repost: bool, mode: str = "all") -> str:
        return decide(blank, [proof], mode=mode, repost=repost, run_id=run_id).action

    assert action("r2", repost=False) == "skip"
    assert action("r2", repost=True) == "post"
    assert action("r1", repost=True) == "skip"
    assert action("r2", repost=True, mode="new") == "post"


def test_other_pictures_under_the_same_names_are_noticed_and_not_posted_again(
    tmp_path: Path,
) -> None:
    """The sheet has no name here: that it is the same row only its content tells."""
    picture, calls = tmp_path / "a.png", []
    trucks = make_trucks(1, images=["a.png"])
    given: dict[str, Any] = {"store": tmp_path / "ledger.duckdb", "images_dir": tmp_path}

    picture.write_bytes(PNG + b"red")
    posted = pk.run_batch(trucks, poster=calls.append, **given)
    picture.write_bytes(PNG + b"blue, and larger")
    again = pk.run_batch(trucks, poster=calls.append, **given)

    assert (posted.counts(), again.counts(), len(calls)) == ({"posted": 1}, {"skipped": 1}, 1)
    assert again.results[0].reason == "posted already; posted with other images"
    assert again.message == "frame: nothing to do, 1 skipped; rows posted with other images: 1"


@pytest.mark.parametrize("state", ["intent", "confirmed"])
def test_what_cannot_be_written_stops_the_run_before_the_next_click(
    post: Post, site: FakeSite, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """It is written while the form is filled in; the click waits for it all the same."""
    real = ledger.write_posting

    def write(store: Reading, posting: Posting) -> Future[Any]:
        if posting.state != state:
            return real(store, posting)
        failed: Future[Any] = Future()
        failed.set_exception(StoreError("the disk is full"))
        return failed

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write_posting", write)
        with pytest.raises(StoreError, match="the disk is full"):
            post(make_trucks(3), name="trucks")
    published = site.counts()
    again = post(make_trucks(3), name="trucks")

    assert published == ({} if state == "intent" else {"T001": 1})
    assert outcomes(again) == dict.fromkeys(["T001", "T002", "T003"], "posted")
    assert site.counts() == dict.fromkeys(["T001", "T002", "T003"], 1)
