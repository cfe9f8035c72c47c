"""Another county: an installed package with a source, and sources that only a file describes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

import propkit as pk
from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError, SettingsError
from propkit.record_block import Emptied
from propkit.records import Residence, Sale, TaxBill
from propkit.sources import Parsed, Payload
from propkit.sources._config import configure_sources
from propkit.sources._declared import read_source_file
from propkit.store import Store
from tests.store.made import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.pages import Page

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TREASURER, RECORDER = FOLDER / "pinal_treasurer.toml", FOLDER / "pinal_recorder.toml"
APNS = ["20049047A", "20049048"]
BILLS = (
    '<html><body><h1>Bills of <b class="parcel">{apn}</b></h1><i id="built">1987</i>'
    '<table id="bills"><tbody><tr><td>2025</td><td>$1,234.56</td><td data-status="Paid">x</td></tr>'
    '<tr><td>2024</td><td>$99.00</td><td data-status="Unpaid">x</td></tr></tbody></table>'
    "</body></html>"
)
DEEDS: dict[str, dict[str, Any]] = {
    "parcel": {
        "number": "200-49-047A",
        "sales": [{"date": "2020-05-01", "deed": ["2020-000123", "x"], "price": "250,000"}],
    }
}


class Pinal(BaseHTTPRequestHandler):
    """Pinal County's three offices, one below another."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        status, kind, body = 404, "text/plain", ""
        if url.path.startswith("/parcel/"):
            apn = url.path.rpartition("/")[2]
            if apn in APNS:
                status, kind, body = 200, "application/json", json.dumps({"owner": f"OF {apn}"})
        elif url.path == "/bills":
            (apn,) = parse_qs(url.query)["parcel"]
            known = apn.replace("-", "") in APNS
            text = BILLS.format(apn=apn) if known else "<html><body>No such parcel</body></html>"
            status, kind, body = 200, "text/html", text
        elif url.path.startswith("/deeds/"):
            apn = url.path.rpartition("/")[2]
            known = apn == APNS[0]
            status, kind, body = (
                200,
                "application/json",
                json.dumps(DEEDS if known else {"parcel": None}),
            )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def pinal() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pinal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def install(folder: Path, entry: str = "pinal_assessor:PinalAssessor") -> None:
    """Install the tiny package there, as pip does, from a wheel."""
    wheel = folder.parent / "pinal_source-1.0-py3-none-any.whl"
    about = "pinal_source-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(FOLDER / "package/pinal_assessor.py", "pinal_assessor.py")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: pinal-source\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/entry_points.txt", f"[propkit.sources]\npinal = {entry}\n")
        archive.writestr(f"{about}/RECORD", "")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--disable-pip-version-check", "--target", str(folder), str(wheel)),
        ],
        check=True,
        timeout=120,
    )


def test_an_installed_package_brings_a_source_that_is_collected_from(
    pinal: str, tmp_path: Path, home: Path
) -> None:
    """Pip has installed it; the command line plans and collects with it, and Maricopa is not asked."""
    install(tmp_path / "site")
    path = tmp_path / "pinal.duckdb"
    words = ["collect", "--db", str(path), "--county", "pinal", *APNS, "20099999"]

    done = subprocess.run(
        [sys.executable, "-m", "propkit.cli", *words],
        env={
            "PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}",
            "HOME": str(home),
            "PROPKIT_SOURCES__PINAL_ASSESSOR__BASE_URL": pinal,
            "PROPKIT_SOURCES__PINAL_ASSESSOR__REQUESTS_PER_SECOND": "500",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, (done.stdout, done.stderr)
    with closing(Store.open(path)) as store:
        rows = store.rows("SELECT apn, county, owner_name, source FROM parcels ORDER BY apn")
        items = store.rows("SELECT source, key, state FROM items ORDER BY key")
    assert rows == [
        {"apn": apn, "county": "pinal", "owner_name": f"OF {apn}", "source": "pinal_assessor"}
        for apn in APNS
    ]
    assert items == [
        {"source": "pinal_assessor", "key": key, "state": state}
        for key, state in [(APNS[0], "done"), (APNS[1], "done"), ("20099999", "not_found")]
    ]


def test_a_package_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", entry="pinal_assessor:Nobody")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    with pytest.raises(SettingsError, match=r"the source 'pinal' \(pinal_assessor:Nobody\) cannot"):
        configure_sources(pk.Settings.load())


@pytest.fixture
def kit(pinal: str, tmp_path: Path) -> Iterator[pk.Kit]:
    """Give a kit with the two sources that files describe."""
    quick = {"base_url": pinal, "requests_per_second": 500}
    settings = pk.Settings.load(
        source_files=[TREASURER, RECORDER],
        sources={"pinal_treasurer": quick, "pinal_recorder": quick},
    )
    with pk.open(tmp_path / "described.duckdb", settings=settings) as kit:
        yield kit


def test_sources_that_files_describe_are_collected_from(
    kit: pk.Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An HTML table and a JSON answer make typed rows; what is there no more is taken away."""
    plan = kit.plan([*APNS, "200-99-999"], county="pinal")
    report = kit.collect(plan, progress=False)

    assert plan.datasets == ("residences", "tax_bills", "sales")
    assert plan.sources == ("pinal_treasurer", "pinal_recorder")
    assert {name: dict(one) for name, one in report.counts.items()} == {
        "pinal_treasurer": {"done": 2, "not_found": 1},
        "pinal_recorder": {"done": 1, "not_found": 2},
    }
    bills = kit.store.rows(
        "SELECT * EXCLUDE (source, collected_at, unchanged_since) FROM tax_bills ORDER BY ALL"
    )
    nothing = {"amount_paid": None, "amount_due": None, "has_tax_lien": None, "tax_lien_note": None}
    assert bills == [
        {"apn": apn, "tax_year": year, "status": status, "assessed_tax": tax, **nothing}
        for apn in APNS
        for year, status, tax in [
            (2024, "Unpaid", Decimal("99.00")),
            (2025, "Paid", Decimal("1234.56")),
        ]
    ]
    assert kit.store.rows("SELECT apn, sold_on, recording_number, sale_price FROM sales") == [
        {
            "apn": APNS[0],
            "sold_on": date(2020, 5, 1),
            "recording_number": "2020-000123",
            "sale_price": Decimal("250000.00"),
        }
    ]
    assert kit.store.rows("SELECT DISTINCT construction_year FROM residences") == [
        {"construction_year": 1987}
    ]
    assert kit.reparse("pinal_treasurer").empty
    monkeypatch.setitem(DEEDS["parcel"], "sales", [])
    kit.collect(APNS[:1], datasets="sales", county="pinal", max_age=0, progress=False)
    assert kit.frame("sales").empty
    gone = kit.changes("last batch").query("kind == 'removed'")
    assert dict(zip(gone["column"], gone["old"], strict=True)) == {"sale_price": "250000.00"}


def test_another_countys_sources_are_not_asked_unless_named(kit: pk.Kit) -> None:
    plan = kit.plan(APNS)

    assert {item.source for item in plan.items} <= {
        "maricopa_assessor", "maricopa_treasurer", "maricopa_recorder",
    }  # fmt: skip
    with pytest.raises(
        RequestError, match=r"^no source of county 'pima'; expected one of maricopa"
    ):
        kit.plan(APNS, county="pima")


def payload(source: str, body: str, *, status: int = 200) -> Payload:
    kind = "application/json" if body.startswith(("{", "[")) else "text/html"
    made: Page = replace(page(body.encode(), name="page"), content_type=kind, status=status)
    return Payload(source=source, key=APNS[0], apn=APNS[0], pages=(made,))


GOOD = BILLS.format(apn="200-49-047A")


def test_a_page_means_exactly_these_records() -> None:
    parsed = read_source_file(TREASURER).parse(payload("pinal_treasurer", GOOD))
    sold = read_source_file(RECORDER).parse(payload("pinal_recorder", json.dumps(DEEDS)))

    bill = TaxBill(apn=APNS[0], tax_year=2025, status="Paid", assessed_tax=Decimal("1234.56"))
    older = TaxBill(apn=APNS[0], tax_year=2024, status="Unpaid", assessed_tax=Decimal("99.00"))
    assert parsed.records == (bill, older, Residence(apn=APNS[0], construction_year=1987))
    assert parsed.unsaid["tax_bills"] == {
        "amount_paid", "amount_due", "has_tax_lien", "tax_lien_note",
    }  # fmt: skip
    assert sold.records == (
        Sale(
            apn=APNS[0],
            sold_on=date(2020, 5, 1),
            recording_number="2020-000123",
            sale_price=Decimal(250000),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("200-49-047A", "200-49-048", InvalidAnswerError),
        ('class="parcel"', 'class="number"', LayoutChangedError),
        ('id="bills"', 'id="taxes"', LayoutChangedError),
        ("<td>2025</td>", "<td>-</td>", LayoutChangedError),
        ("<td>2024</td>", "<td>2025</td>", LayoutChangedError),
        ("$99.00", "ninety", LayoutChangedError),
        ('id="built"', 'id="b"', LayoutChangedError),
        ("</body></html>", "", InvalidAnswerError),
    ],
)
def test_a_page_that_changed_is_an_error(old: str, new: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_source_file(TREASURER).parse(payload("pinal_treasurer", GOOD.replace(old, new)))


def test_no_rows_must_be_said() -> None:
    empty = GOOD[: GOOD.index("<tr>")] + "</tbody></table>No bills</body></html>"

    parsed = read_source_file(TREASURER).parse(payload("pinal_treasurer", empty))

    assert parsed.records == (Residence(apn=APNS[0], construction_year=1987),)
    assert parsed.emptied == (Emptied("tax_bills", APNS[0]),)


@pytest.mark.parametrize(
    "body", ['{"surprise": 1}', "[]", '{"parcel": {"number": "200-49-047A"}}', '{"parcel": 7}']
)
def test_an_answer_that_changed_is_an_error(body: str) -> None:
    with pytest.raises(LayoutChangedError):
        read_source_file(RECORDER).parse(payload("pinal_recorder", body))


def test_no_such_parcel_is_a_result() -> None:
    treasurer, recorder = read_source_file(TREASURER), read_source_file(RECORDER)

    assert treasurer.parse(payload("t", "<html>No such parcel</html>")) == Parsed(is_found=False)
    assert recorder.parse(payload("r", '{"parcel": {}}')) == Parsed(is_found=False)


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    text = TREASURER.read_text("utf-8")
    path.write_text(
        text.replace("{dashed_apn}", "{parcel}")
        .replace("tax_year =", "year =")
        .replace("tables.residences", "tables.houses"),
        "utf-8",
    )

    with pytest.raises(SettingsError) as caught:
        read_source_file(path)

    said = str(caught.value)
    assert said.startswith(f"{path}: page: '{{parcel}}' may hold {{apn}} and {{dashed_apn}}")
    assert "tables.tax_bills.columns.year: no such column; expected tax_year, status" in said
    assert "tables.tax_bills.columns: tax_year is needed" in said
    assert "tables.houses: no such table; expected parcels" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "is no TOML file"),
        ('name = "x"\nsurprise = 1', "base_url: Field required"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_text(text, "utf-8")

    with pytest.raises(SettingsError, match=said):
        read_source_file(path)


def test_two_sources_of_one_name_are_refused() -> None:
    settings: Any = pk.Settings.load(source_files=[TREASURER, TREASURER])

    with pytest.raises(SettingsError, match="two sources are named 'pinal_treasurer'"):
        configure_sources(settings)
