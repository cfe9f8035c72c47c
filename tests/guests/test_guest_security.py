"""What a guest, or somebody who is none, cannot do to the owner and to its files."""

from __future__ import annotations

import json
import logging
import os
import random
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import trustme
from pyarrow import flight

import propkit as pk
from propkit.errors import RequestError, SettingsError, StoreError
from propkit.sharing.calls import _CALLS
from propkit.sharing.discovery import discovery_path, read_discovery
from propkit.sharing.door import find_flight
from propkit.sharing.guest import OwnerLink
from propkit.sharing.place import make_order
from propkit.sharing.wire import MAX_BODY, dump_order, dump_params, load_params
from tests.guests.notebooks import Notebook, notebook, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from propkit.demo_county import County

FUZZED = int(os.environ.get("PROPKIT_TEST_FUZZED", "300"))
SEED = 20261122
REFUSED = (flight.FlightUnauthenticatedError, OSError)
"""pyarrow has no error of its own where a schema is asked for."""


@pytest.fixture
def link(kit: pk.Kit, path: Path) -> Iterator[OwnerLink]:
    """Return a guest's own way to the owner, below the kit."""
    found = read_discovery(path)
    assert found is not None
    link = OwnerLink(found)
    yield link
    link.close()


@pytest.fixture(scope="module")
def standing(
    _county_process: County, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[pk.Kit, Path]]:
    """Return a guest of one owner for all tests that leave the store as it is, and its path."""
    path = tmp_path_factory.mktemp("standing") / "test.duckdb"
    settings = settings_of(_county_process)
    with notebook(path, settings), pk.open(path, settings=pk.Settings.load(**settings)) as kit:
        yield kit, path


@pytest.fixture
def asking(standing: tuple[pk.Kit, Path]) -> Iterator[tuple[pk.Kit, OwnerLink]]:
    """Return that guest, and its own way to the owner; nothing may be ordered by it."""
    kit, path = standing
    found = read_discovery(path)
    assert found is not None
    link = OwnerLink(found)
    yield kit, link
    link.close()
    assert kit.batches().empty


def requests(client: Any, options: Any) -> list[Callable[[], object]]:
    """Return one request of each kind that Flight knows."""
    command = flight.FlightDescriptor.for_command(b"{}")
    schema = pa.schema([("a", pa.int64())])

    def put() -> None:
        writer, _ = client.do_put(command, schema, options)
        writer.close()

    def exchange() -> None:
        writer, reader = client.do_exchange(command, options)
        writer.begin(schema)
        writer.done_writing()
        reader.read_all()

    return [
        lambda: list(client.do_action(flight.Action("rates", b"{}"), options)),
        lambda: client.do_get(flight.Ticket(b'{"sql": "SELECT 1"}'), options).read_all(),
        put,
        exchange,
        lambda: list(client.list_flights(b"", options)),
        lambda: list(client.list_actions(options)),
        lambda: client.get_flight_info(command, options),
        lambda: client.get_schema(command, options),
    ]


@pytest.mark.parametrize("brought", [None, b"", b"Bearer ", b"Bearer wrong", b"Basic eDp5"])
def test_who_has_no_token_is_refused_everything(
    standing: tuple[pk.Kit, Path], brought: bytes | None
):
    """Every kind of request is refused, and none says more than that."""
    found = read_discovery(standing[1])
    assert found is not None
    headers = [] if brought is None else [(b"authorization", brought)]
    options = flight.FlightCallOptions(headers=headers, timeout=60)
    with flight.FlightClient(find_flight(found)) as client:
        for request in requests(client, options):
            with pytest.raises(REFUSED, match="missing or wrong"):
                request()


def test_the_token_is_this_users_alone(owner: Notebook, path: Path, county: County):
    """The file is 0600, the token long and new each time, and not shown."""
    found = read_discovery(path)
    assert found is not None

    assert stat.S_IMODE(discovery_path(path).stat().st_mode) == 0o600
    assert len(found.token) >= 40
    assert found.token not in repr(found)
    owner.close()
    with notebook(path, settings_of(county)):
        again = read_discovery(path)
        assert again is not None
        assert again.token != found.token


def test_a_file_that_others_may_write_is_not_trusted(owner: Notebook, path: Path, county: County):
    """It could send this user's work to somebody else."""
    discovery_path(path).chmod(0o644)

    assert read_discovery(path) is None
    with pytest.raises(StoreError, match=rf"in use by another process \(PID {owner.pid}\)"):
        pk.open(path, settings=pk.Settings.load(**settings_of(county)))


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ({"serve_address": "0.0.0.0"}, "can be reached from other computers"),  # noqa: S104
        ({"serve_address": "192.168.1.7"}, "can be reached from other computers"),
        ({"serve_address": "example.com"}, "can be reached from other computers"),
        ({"serve_address": "::"}, "can be reached from other computers"),
        ({"tls_certificate": "a.pem"}, "belong together"),
        ({"tls_key": "a.pem"}, "belong together"),
        ({"files_in_sql": "all"}, "files_in_sql"),
    ],
)
def test_an_address_that_others_reach_needs_tls(store: dict[str, str], said: str):
    """Certificate and key, both, or only this computer is served."""
    with pytest.raises(SettingsError, match=said):
        pk.Settings.load(store=store)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_computer_needs_no_tls(address: str):
    """All its own addresses are accepted."""
    assert pk.Settings.load(store={"serve_address": address}).store.serve_address == address


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """Return the settings for a certificate of this computer, made just now."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = [*issued.cert_chain_pems, authority.cert_pem]
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in chain))
    key.write_bytes(issued.private_key_pem.bytes())
    return {"tls_certificate": str(certificate), "tls_key": str(key)}


def test_a_certificate_that_is_none_is_named(path: Path, county: County, tls: dict[str, str]):
    """The store is not left open."""
    store = {**tls, "tls_certificate": f"{path.parent}/nowhere.pem"}
    settings = settings_of(county, store=store)

    with pytest.raises(SettingsError, match=r"nowhere\.pem"):
        pk.open(path, settings=pk.Settings.load(**settings))

    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        assert kit.frame("parcels").empty


def test_with_tls_guests_check_the_certificate(
    path: Path, county: County, known: list[str], tls: dict[str, str]
):
    """The guest attaches through TLS; without it nobody is let in."""
    settings = settings_of(county, store=tls)
    with notebook(path, settings), pk.open(path, settings=pk.Settings.load(**settings)) as kit:
        assert kit.collect(known[:2], progress=False).is_complete
        found = read_discovery(path)
        assert found is not None
        location = find_flight(found)
        assert location.startswith("grpc+tls://")
        options = flight.FlightCallOptions(timeout=5)
        with (
            flight.FlightClient(location.replace("grpc+tls", "grpc")) as client,
            pytest.raises(flight.FlightError),
        ):
            list(client.do_action(flight.Action("rates", b"{}"), options))
        assert "PRIVATE" not in discovery_path(path).read_text("utf-8")


HOSTILE = [
    "ATTACH 'x.db'",
    "ATTACH ':memory:' AS m",
    "DETACH test",
    "USE memory",
    "COPY parcels TO 'x.csv'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY parcels FROM '/etc/passwd'",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "SET GLOBAL memory_limit = '1KB'",
    "RESET threads",
    "PRAGMA enable_profiling",
    "PRAGMA table_info('parcels')",
    "CALL enable_logging(storage = 'file', storage_path = '/tmp/x')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '/tmp/x')",
    "FROM checkpoint()",
    "FROM force_checkpoint()",
    "FROM truncate_duckdb_logs()",
    "FROM query('SELECT 1')",
    "FROM query_table('parcels')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM arrow_scan(1::BIGINT, 1::BIGINT, 1::BIGINT)",
    "FROM seq_scan()",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://x', 's3')",
    "CHECKPOINT",
    "VACUUM",
    "INSERT INTO parcels (apn) VALUES ('1')",
    "UPDATE parcels SET apn = '1'",
    "DELETE FROM parcels",
    "MERGE INTO parcels USING parcels AS p ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE parcels",
    "CREATE TABLE t (a INT)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "ALTER TABLE parcels ADD COLUMN a INT",
    "DROP TABLE parcels",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "COMMIT",
    "SELECT 1; DROP TABLE parcels",
    "WITH d AS (DELETE FROM parcels RETURNING *) FROM d",
    "EXPLAIN ANALYZE DELETE FROM parcels",
    "EXPLAIN (ANALYZE) INSERT INTO parcels (apn) VALUES ('1')",
    "SELECT nextval('s')",
    "SELECT write_log('x')",
    "SELECT * FROM 'x.csv'",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "https://example.com/x.parquet"',
    "DESCRIBE 'x.parquet'",
    "SUMMARIZE 'x.csv'",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH a AS (FROM read_blob('/etc/passwd')) FROM a",
    "SELECT * FROM parcels, LATERAL (FROM read_csv(parcels.apn))",
    "EXPLAIN SELECT * FROM read_csv('/etc/passwd')",
    "FROM glob('/*')",
    "FROM READ_TEXT('/etc/passwd')",
    "FROM \"read_text\"('/etc/passwd')",
    "FROM system.main.read_text('/etc/passwd')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM parquet_metadata('x')",
    "FROM kit",
    "FROM wanted",
    "PIVOT (FROM read_text('/etc/passwd')) ON content",
    "",
    ";",
    "SELECT",
    "\0",
    "UPDATE EXTENSIONS",
    "SELECT 1 -- " + "x" * 300_000,
]


def test_a_guests_sql_only_asks_the_stores_tables(
    kit: pk.Kit, owner: Notebook, known: list[str], path: Path
):
    """Everything else is refused, by the same error; the owner goes on and nothing has changed."""
    kit.collect(known[:2], progress=False)
    before = {name: len(kit.frame(name)) for name in ("parcels", "items", "batches")}
    files = {one.name for one in path.parent.iterdir()}

    allowed = []
    for sql in HOSTILE:
        try:
            kit.sql(sql)
        except RequestError as error:
            assert "Traceback" not in str(error)  # noqa: PT017 -- each of many
        else:
            allowed.append(sql)

    assert allowed == []
    assert {name: len(kit.frame(name)) for name in before} == before
    assert {one.name for one in path.parent.iterdir()} - {f"{path.name}.wal"} <= files
    assert owner.run("repr(kit)").endswith("owner: this process>")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM parcels",
        "SELECT apn, row_number() OVER (ORDER BY apn) AS n FROM parcels",
        "WITH a AS (SELECT unnest([1, 2]) AS n) SELECT sum(n) FROM a",
        "SELECT * FROM range(3)",
        "DESCRIBE parcels",
        "SHOW TABLES",
        "SUMMARIZE parcels",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT count(*) FROM parcels",
        "SELECT table_name FROM information_schema.tables",
        "SELECT column_name FROM duckdb_columns()",
        "SELECT j.value FROM json_each('[1, 2]') AS j",
    ],
)
def test_a_guest_may_ask_whatever_only_asks(standing: tuple[pk.Kit, Path], sql: str):
    """What an analyst writes is answered."""
    standing[0].sql(sql)


def test_files_are_read_by_whom_the_settings_let(
    county: County, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The owner alone unless it is set otherwise; for nobody DuckDB itself is locked."""
    table = tmp_path / "own.csv"
    table.write_text("a\n1\n", "utf-8")
    sql = f"SELECT a FROM '{table}'"
    allowed = {}
    for who in ("owner", "everyone", "nobody"):
        settings = settings_of(county, store={"files_in_sql": who})
        with (
            notebook(path, settings) as owner,
            pk.open(path, settings=pk.Settings.load(**settings)) as kit,
        ):
            allowed[who] = [
                _is_answered(lambda: owner.run(f"kit.sql({sql!r})")),
                _is_answered(lambda: kit.sql(sql)),
            ]
            with pytest.raises(RequestError):
                kit.sql(f"COPY parcels TO '{tmp_path}/x.csv'")
            with pytest.raises(RequestError):
                kit.sql("FROM enable_logging(storage = 'file')")
            assert kit.collect(county.apns(1), progress=False).batch_id

    assert allowed == {"owner": [True, False], "everyone": [True, True], "nobody": [False, False]}


def _is_answered(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Exception:  # noqa: BLE001 -- here as RequestError, there as CellError
        return False
    return True


def _garbage(draw: random.Random) -> bytes:
    """Return a body that is wrong in one of many ways."""
    values: list[Any] = [
        None,
        -1,
        1e308,
        "",
        "x" * 200,
        [],
        {},
        [[[]]],
        "20261122-000000-abcd",
        True,
    ]
    names = ["batch_id", "sql", "params", "what", "query", "by", "limit", "after", "seconds"]
    kinds = draw.randrange(6)
    if kinds == 0:
        return draw.randbytes(draw.randrange(300))
    if kinds == 1:
        return b"[" * draw.randrange(200_000)
    body = {draw.choice(names): draw.choice(values) for _ in range(draw.randrange(5))}
    if kinds == 2:
        body["params"] = {draw.choice(["datetime", "decimal", "mapping", "x"]): draw.choice(values)}
        body["sql"] = "SELECT 1"
    text = json.dumps(body).encode()
    return text[: draw.randrange(len(text) + 1)] if kinds == 3 else text


def test_malformed_requests_harm_nobody(
    kit: pk.Kit, owner: Notebook, link: OwnerLink, known: list[str]
):
    """Whatever is sent, the answer is an error in our words, and the owner works on."""
    draw = random.Random(SEED)
    client, options = link._reach(), link._options(60)
    table = pa.table({"source": ["x"], "key": [None], "state": ["waiting"]})
    told: set[str] = set()

    def put(body: bytes) -> None:
        command = flight.FlightDescriptor.for_command(body)
        writer, _ = client.do_put(command, table.schema, options)
        with writer:
            writer.write_table(table)

    def exchange(body: bytes) -> None:
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(body), options)
        with writer:
            writer.begin(table.schema)
            writer.write_table(table)
            writer.done_writing()
            reader.read_all()

    def act(body: bytes) -> None:
        name = draw.choice([*_CALLS, "", "x" * 1000, "__class__"])
        list(client.do_action(flight.Action(name, body), options))

    ways = [put, exchange, act, act, lambda body: client.do_get(flight.Ticket(body), options)]
    for _ in range(FUZZED):
        try:
            draw.choice(ways)(_garbage(draw))
        except pa.ArrowException as error:
            told.add(f"{error}{getattr(error, 'extra_info', b'')!r}")
    for request in requests(client, options)[4:7]:
        with pytest.raises(flight.FlightServerError):
            request()

    assert told
    assert [text for text in told if "Traceback" in text or ".py" in text] == []
    assert kit.batches().empty
    assert kit.collect(known[:1], progress=False).is_complete
    assert owner.run("repr(kit)").endswith("owner: this process>")


def test_a_request_is_bounded(asking: tuple[pk.Kit, OwnerLink]):
    """A body that is too large is not even read."""
    _, link = asking
    with pytest.raises(RequestError, match="larger than"):
        link.table(sql="SELECT 1", params=["x" * MAX_BODY])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_id": "../../etc"}, "names no batch"),
        ({"kind": "burglary"}, "no kind"),
        ({"criteria": {"sources": ["nowhere"]}}, "sources that the owner has not"),
        ({"criteria": {"fallbacks": {"nowhere": []}}}, "sources that the owner has not"),
        ({"criteria": {"more": 1}}, "cannot be read"),
        ({"criteria": {"budget": "much"}}, "cannot be read"),
        ({"options": {"workers": "many"}}, "workers must be"),
        ({"options": {"export_to": "/tmp/x.csv"}}, "no workbook's name"),
        ({"options": {"unknown": 1}}, "cannot be read"),
        ({"planned_at": "yesterday"}, "cannot be read"),
    ],
)
def test_an_order_that_no_plan_makes_is_refused(
    asking: tuple[pk.Kit, OwnerLink], known: list[str], change: dict[str, Any], said: str
):
    """Nothing is stored of it."""
    kit, link = asking
    body, table = dump_order(make_order(kit.plan(known[:2]), {}))
    head = json.loads(body)
    for name, value in change.items():
        head[name] = {**head[name], **value} if isinstance(value, dict) else value

    with pytest.raises(RequestError, match=said):
        link.put(json.dumps(head).encode(), table)


@pytest.mark.parametrize(
    "values", [{"state": "done"}, {"state": "x"}, {"source": "x"}, {"key": ""}]
)
def test_items_that_no_plan_makes_are_refused(
    asking: tuple[pk.Kit, OwnerLink], known: list[str], values: dict[str, str]
):
    """A guest cannot say that something is collected."""
    kit, link = asking
    body, table = dump_order(make_order(kit.plan(known[:2]), {}))
    for name, value in values.items():
        column = pa.array([value] * table.num_rows)
        table = table.set_column(table.schema.get_field_index(name), name, column)

    with pytest.raises(RequestError, match="order"):
        link.put(body, table)


def test_an_order_is_carried_out_once(kit: pk.Kit, link: OwnerLink, known: list[str]):
    """Sent again, because the answer was lost, it is refused."""
    sent = dump_order(make_order(kit.plan(known[:2]), {}))
    link.put(*sent)

    with pytest.raises(RequestError, match="already"):
        link.put(*sent)

    assert len(kit.batches()) == 1


def test_parameters_come_as_they_were_sent():
    """Dates, times, money, bytes and lists keep their kind; anything else is refused here."""
    from datetime import UTC, date, datetime, timedelta
    from decimal import Decimal

    sent = {
        "a": datetime(2026, 11, 22, 9, tzinfo=UTC),
        "b": date(2026, 11, 22),
        "c": Decimal("1.10"),
        "d": b"\0\xff",
        "e": [1, None, "x", True, 1.5],
        "f": timedelta(days=1),
        "g": {"datetime": "no"},
    }

    assert load_params(json.loads(json.dumps(dump_params(sent)))) == sent
    with pytest.raises(RequestError, match="cannot be sent"):
        dump_params([object()])


def test_secrets_are_in_no_file_answer_error_or_log(
    county: County,
    path: Path,
    known: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """The county's token and the owner's are planted; every byte that is written is searched."""
    caplog.set_level(logging.DEBUG)
    secret = county.settings()["maricopa_assessor"]["token"]
    settings = settings_of(county)
    said: list[str] = []
    real = OwnerLink.call
    monkeypatch.setattr(
        OwnerLink,
        "call",
        lambda self, name, **body: said.append(repr(got := real(self, name, **body))) or got,
    )
    with (
        notebook(path, settings) as owner,
        pk.open(path, settings=pk.Settings.load(**settings)) as kit,
    ):
        found = read_discovery(path)
        assert found is not None
        kit.search("SMITH")
        said.append(str(kit.collect(known[:3], progress=False)))
        said += [repr(kit), repr(kit.statistics()), kit.batch("last").log().to_string()]
        for wrong in ("SELECT x", "FROM read_text('x')"):
            with pytest.raises(RequestError) as failure:
                kit.sql(wrong)
            said.append(repr(failure.value))
        beside = {one.name: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
        owner.kill()
        kit.frame("parcels")
        said += [repr(kit), owner.__class__.__name__]

    assert secret
    texts = [*said, caplog.text]
    assert [text for text in texts if secret in text or found.token in text] == []
    held = [name for name, content in beside.items() if secret.encode() in content]
    assert held == []
    named = [name for name, content in beside.items() if found.token.encode() in content]
    assert named == [discovery_path(path).name]
    command = Path(f"/proc/{os.getpid()}/cmdline")
    assert not command.exists() or found.token.encode() not in command.read_bytes()
