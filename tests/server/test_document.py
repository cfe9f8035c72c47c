"""The OpenAPI document: true to the code, and held by the server against whatever is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from tornado.web import RequestHandler

from propkit.areas.ordering import KIND as AREA
from propkit.errors import FAILURE_CLASSES
from propkit.items import PRIORITIES
from propkit.kinds import DATASETS, KINDS, MODES, SEARCHES
from propkit.profiles import PROFILES
from propkit.runtime.options import STRATEGIES
from propkit.server import models
from propkit.server.endpoint import METHODS
from propkit.server.handlers import NothingEndpoint, make_routes
from propkit.server.openapi import OPERATIONS, make_document
from propkit.store.jobs import STATES
from tests.server.serving import jupyter

if TYPE_CHECKING:
    from propkit.demo_county import County

EXAMPLES = int(os.environ.get("PROPKIT_TEST_EXAMPLES", "4"))
SEED = 20261122


def choices(field: str) -> tuple[str, ...]:
    """Return what a field of an order may be."""
    kind = models.JobOrder.model_fields[field].annotation
    return next((get_args(one) for one in get_args(kind) if get_args(one)), get_args(kind))


def test_the_choices_are_the_codes_own():
    """What can be ordered in a notebook can be ordered here."""
    assert get_args(models.Kind) == tuple(KINDS)
    assert get_args(models.JobKind) == (*KINDS, "leads", AREA)
    assert get_args(models.Dataset) == DATASETS
    assert get_args(models.State) == STATES
    assert get_args(models.FailureClass) == FAILURE_CLASSES
    assert choices("mode") == tuple(MODES)
    assert choices("priority") == tuple(PRIORITIES)
    assert choices("by") == SEARCHES
    assert choices("strategy") == STRATEGIES
    assert choices("profile") == (*PROFILES, "auto")


def test_every_address_is_in_the_document_and_the_reverse():
    """With the same methods."""
    unknown = RequestHandler._unimplemented_method
    served = {
        (re.sub(r"\(.*\)", "{id}", path).replace("\\", "").removeprefix("/propkit/api"), name)
        for path, handler, _ in make_routes(None)  # type: ignore[arg-type]
        if handler is not NothingEndpoint
        for name in map(str.lower, METHODS)
        if getattr(handler, name) is not unknown
    }

    assert served == set(OPERATIONS)


def test_the_document_stands_below_the_servers_address():
    """Jupyter may have a base address of its own, as behind JupyterHub."""
    assert make_document("/user/ana/")["servers"] == [{"url": "/user/ana/propkit/api"}]


@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(
    county: County, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """All its checks, with data that fits and data that does not, and with chains of requests.

    Two things are told to it: an order that reads well can still be one that no source can carry
    out (422), as when no identifier is an APN; and Jupyter says 403 where it expects 401.
    """
    with jupyter(tmp_path / "notebooks", county, requests_per_second=10_000) as server:
        (tmp_path / "schemathesis.toml").write_text(
            f"""
            headers = {{ Authorization = "token {server.token}" }}
            seed = {SEED}
            checks.missing_required_header.enabled = false
            [[operations]]
            include-operation-id = "createJob"
            checks.positive_data_acceptance.expected-statuses = ["2xx", "409", "422"]
            """,
            "utf-8",
        )
        environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")}
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "--config-file", str(tmp_path / "schemathesis.toml"), "run",
                f"http://127.0.0.1:{server.port}/propkit/api/openapi.json",
                f"--max-examples={EXAMPLES}", "--no-color", "--request-timeout=120",
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        log = server.log

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in log
