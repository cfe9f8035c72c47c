"""What the API refuses, and in which words: problem details, and nothing of the inside."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.serving import DEADLINE_SECONDS, JOBS, PLANTED, Client, Jupyter, jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County

ADDRESSES = [
    ("GET", JOBS), ("POST", JOBS), ("GET", f"{JOBS}/x"), ("DELETE", f"{JOBS}/x"),
    ("POST", f"{JOBS}/x/cancel"), ("POST", f"{JOBS}/x/retry"), ("GET", f"{JOBS}/x/log"),
    ("GET", f"{JOBS}/x/events"), ("GET", "/propkit/api/health"),
    ("GET", "/propkit/api/openapi.json"), ("GET", "/propkit/api/nothing"), ("GET", "/propkit/api"),
]  # fmt: skip
LOG_IN = "Log in, or send the server's token: Authorization: token …"


@pytest.fixture(scope="module")
def strict(_county_process: County, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Start a server that lets through one request in a hundred seconds, and little in it."""
    folder = tmp_path_factory.mktemp("strict") / "notebooks"
    with jupyter(
        folder, _county_process, requests_per_second=0.01, max_request_bytes=1000
    ) as server:
        yield server


def problem(status: int, title: str, detail: str, instance: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        **more,
    }


def read_files(folder: Path) -> dict[Path, bytes]:
    """Return what stands in each file below a folder, where others go on writing."""
    while True:
        with suppress(FileNotFoundError):  # the store has just taken its log in
            return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_nobody_comes_in_without_the_token(server: Jupyter, method: str, path: str):
    """403 at every address, also where there is nothing, and with a wrong token."""
    for stranger in (server.stranger, server.client_of("wrong"), server.client_of("")):
        answer = stranger.ask(method, path, {} if method == "POST" else None)

        assert answer.problem() == problem(403, "Forbidden", LOG_IN, path)


def test_a_cookie_alone_changes_nothing(server: Jupyter, apns: list[str]):
    """A page of another site has the browser's cookie and not the xsrf token: refused."""
    order = {"identifiers": apns[:1], "datasets": ["parcels"]}
    logged_in = server.client.get(f"/api/status?token={server.token}")
    cookies = [line.partition(";")[0] for line in logged_in.headers.get_all("Set-Cookie")]
    browser = Client(server.port, {"Cookie": "; ".join(cookies)})
    shown = browser.get(JOBS)
    assert shown.status == 200

    refused = browser.post(JOBS, order)
    assert refused.problem() == problem(
        403, "Forbidden", "Refused: '_xsrf' argument missing from POST", JOBS
    )

    page = server.stranger.get("/login")
    (xsrf,) = [
        line.partition(";")[0]
        for line in page.headers.get_all("Set-Cookie")
        if line.startswith("_xsrf")
    ]
    own_page = Client(
        server.port,
        {"Cookie": "; ".join([*cookies, xsrf]), "X-XSRFToken": xsrf.partition("=")[2]},
    )
    made = own_page.post(JOBS, order)
    assert made.status == 201
    server.client.wait(made.json["id"])  # or it asks the county in the tests that follow


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", JOBS, "GET, POST"),
        ("DELETE", JOBS, "GET, POST"),
        ("PATCH", f"{JOBS}/x", "GET, DELETE"),
        ("GET", f"{JOBS}/x/cancel", "POST"),
        ("POST", f"{JOBS}/x/log", "GET"),
        ("POST", "/propkit/api/health", "GET"),
        ("TRACE", JOBS, "GET, POST"),
        ("NONSENSE", JOBS, "GET, POST"),
    ],
)
def test_a_method_that_an_address_does_not_know(
    client: Client, method: str, path: str, allowed: str
):
    """405, with those that it knows."""
    answer = client.ask(method, path)

    assert answer.headers["Allow"] == allowed
    assert answer.problem() == problem(
        405, "Method Not Allowed", "This address does not know the method.", path
    )


@pytest.mark.parametrize("path", ["/propkit/api", "/propkit/api/", "/propkit/api/jobs", f"{JOBS}/"])
def test_an_address_where_there_is_nothing(client: Client, path: str):
    """404, in the words of this API and not Jupyter's page."""
    assert client.get(path).problem() == problem(
        404, "Not Found", "There is nothing at this address.", path
    )


@pytest.mark.parametrize(
    ("order", "errors"),
    [
        ({}, {"identifiers": "Field required"}),
        ([], {"body": "Input should be an object"}),
        ({"identifiers": []}, {"identifiers": "List should have at least 1 item"}),
        ({"identifiers": "parcels.xlsx"}, {"identifiers": "Input should be a valid array"}),
        ({"identifiers": ["a\0b"]}, {"identifiers.0": "String should match pattern"}),
        ({"identifiers": [1, None]}, {
            "identifiers.0": "Input should be a valid string",
            "identifiers.1": "Input should be a valid string",
        }),
        ({"identifiers": ["x" * 201]}, {"identifiers.0": "String should have at most 200"}),
        ({"identifiers": ["  "]}, {"identifiers": "holds nothing but blanks"}),
        ({"identifiers": ["no parcel", "132-38"]}, {
            "identifiers.0": "is no APN; expected 8 digits as book-map-parcel",
            "identifiers.1": "has 5 digits; expected 8 digits as book-map-parcel",
        }),
        ({"identifiers": ["x"], "export_to": "/tmp/x.xlsx"}, {"export_to": "Extra inputs are not"}),
        ({"identifiers": ["x"], "sheet": "a"}, {"sheet": "Extra inputs are not permitted"}),
        ({"identifiers": ["x"], "created_by": "eve"}, {"created_by": "Extra inputs are not"}),
        ({"identifiers": ["x"], "kind": "all", "mode": 1}, {
            "kind": "Input should be 'comprehensive'", "mode": "Input should be 'auto'",
        }),
        ({"identifiers": ["x"], "by": "owner"}, {"body": "by belongs to the kind search"}),
        ({"identifiers": ["x"], "kind": "taxes", "datasets": ["sales"]}, {
            "body": "the kind taxes has tables of its own: leave datasets out",
        }),
        ({"identifiers": ["x"], "datasets": ["items"]}, {"datasets.0": "Input should be 'parcels'"}),
        ({"identifiers": ["x"], "workers": "3"}, {"workers": "Input should be a valid integer"}),
        ({"identifiers": ["x"], "workers": 10**30}, {"workers": "Input should be less than"}),
        ({"identifiers": ["x"], "workers": True}, {"workers": "Input should be a valid integer"}),
        ({"identifiers": ["x"], "max_age": "soon", "max_requests": {"a": 0}}, {
            "max_age": "String should match pattern", "max_requests.a": "Input should be greater",
            "max_requests": "Input should be a valid integer",
        }),
        ({"identifiers": ["x"], "budget": -1}, {"budget": "Input should be greater than"}),
        ({"identifiers": ["x"], "stale_ok": "yes"}, {"stale_ok": "Input should be a valid boolean"}),
    ],
)  # fmt: skip
def test_an_order_with_faults_names_the_fields(client: Client, order: Any, errors: dict[str, str]):
    """422: each fault by the field's path; nothing was started."""
    before = client.get(JOBS).json["total"]

    told = client.ask("POST", JOBS, raw=json.dumps(order).encode()).problem()

    assert told["status"] == 422
    assert told["title"] == "Unprocessable Entity"
    found = {error["field"]: error["detail"] for error in told["errors"]}
    assert found.keys() == errors.keys()
    for field, detail in errors.items():
        assert found[field].startswith(detail)
    assert client.get(JOBS).json["total"] == before


def test_what_no_source_can_do_is_told(client: Client, apns: list[str]):
    """422 in the kit's own words."""
    by_browser = client.post(JOBS, {"identifiers": apns[:1], "mode": "browser"}).problem()
    elsewhere = client.post(JOBS, {"identifiers": apns[:1], "max_requests": {"x": 1}}).problem()

    assert by_browser["status"] == elsewhere["status"] == 422
    assert elsewhere["detail"].startswith("max_requests: no host or source 'x'; expected some of")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
        (b'{"identifiers": ["\xff\xfe"]}', 400),
        (b'{"identifiers": ["\\ud800"]}', 400),
        (b"\0" * 100, 400),
        (b"null", 422),
        (b'{"identifiers": [1e999], "budget": 1e999, "workers": 1e400}', 422),
        (b'{"identifiers": ["x"], "budget": NaN}', 422),
        (b'{"identifiers": ["x"], "workers": ' + b"9" * 4_000 + b"}", 422),
        (b'{"identifiers": {"0": "x"}, "__proto__": {}, "": 1}', 422),
    ],
)
def test_a_hostile_body_is_refused(client: Client, body: bytes, status: int):
    """Whatever it holds, the answer is a problem, and the next request is answered."""
    answer = client.post(JOBS, raw=body)

    assert answer.problem()["status"] == status
    assert client.get("/propkit/api/health").status == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=1&page=2", "page"),
        ("page=1000000001", "page"),
        ("per_page=201", "per_page"),
        ("per_page=-1", "per_page"),
        ("status=running", "status"),
        ("status=", "status"),
        ("kind=x", "kind"),
        ("created_by=", "created_by"),
        ("order=asc", "order"),
    ],
)
def test_a_parameter_with_a_fault_is_named(client: Client, query: str, field: str):
    """422; what is unknown is refused as well, so that a typing error is seen."""
    told = client.get(f"{JOBS}?{query}").problem()

    assert (told["status"], [error["field"] for error in told["errors"]]) == (422, [field])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "x"])
def test_a_body_that_is_not_said_to_be_json(client: Client, kind: str):
    """A form of another site cannot be JSON, whatever it holds."""
    answer = client.post(JOBS, {"identifiers": ["x"]}, headers={"Content-Type": kind})

    assert answer.problem() == problem(
        415,
        "Unsupported Media Type",
        "The body has to be JSON: Content-Type: application/json.",
        JOBS,
    )


def test_who_asks_too_often_has_to_wait(strict: Jupyter):
    """429 and when to come again, for all who bring the token; a stranger takes nothing of it."""
    for _ in range(5):
        assert strict.stranger.get(JOBS).status == 403
    answers = [strict.client.get(JOBS) for _ in range(3)]

    refused = answers[-1]
    wait = int(refused.headers["Retry-After"])
    assert 50 < wait <= 100
    assert refused.problem() == problem(
        429, "Too Many Requests", f"Too many requests; the next one is welcome in {wait} s.", JOBS
    )


def test_a_request_that_is_too_large_is_not_read(server: Jupyter, client: Client):
    """413, whether its length is announced or not, before anything is planned."""
    large = b'{"identifiers": ["' + b"x" * 2**20 + b'"]}'
    told = problem(
        413,
        "Request Entity Too Large",
        "The request is larger than 1,048,576 bytes.",
        JOBS,
    )

    assert client.post(JOBS, raw=large).problem() == told

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    pieces = (large[at : at + 10_000] for at in range(0, len(large), 10_000))
    headers = {**client.headers, "Content-Type": "application/json"}
    connection.request("POST", JOBS, pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (413, told)
    connection.close()


def test_no_secret_is_ever_told(server: Jupyter, client: Client, county: County, apns: list[str]):
    """Neither Jupyter's token nor a county's stands in an answer, a log or the store's folder."""
    answers = [
        client.get(f"{JOBS}?token={server.token}"),
        client.get(f"{JOBS}?token={server.token}&page=0"),
        client.get(f"{JOBS}/x?token={server.token}"),
        server.stranger.post(f"{JOBS}?token={server.token}x", {}),
        client.post(JOBS, {"identifiers": [server.token]}),
        client.get("/propkit/api/openapi.json"),
    ]
    county.switch(faults=[{"system": "recorder", "kind": "status", "status": 500}])
    job = client.create(apns[:5])
    client.wait(job["id"])
    county.switch(faults=[])
    answers += [client.get(f"{JOBS}/{job['id']}{part}") for part in ("", "/log")]

    inside = re.compile(rb'Traceback|File "|/propkit/server|/home/|site-packages|/tmp/')
    for answer in answers:
        assert server.token.encode() not in answer.body
        assert server.token not in str(answer.headers)
        assert PLANTED.encode() not in answer.body
        assert not inside.search(answer.body)
    assert server.token not in server.log
    written = read_files(server.home) | read_files(server.folder)
    assert "propkit.duckdb" in {file.name for file in written}
    assert [file for file, body in written.items() if PLANTED.encode() in body] == []
    assert county.ledger("recorder")
