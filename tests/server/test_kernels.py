"""Two real kernels and Jupyter's server over one store: each sees what the others do."""

from __future__ import annotations

import ast
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.guests.notebooks import settings_of
from tests.server.serving import DEADLINE_SECONDS, JOBS, ROOT, jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

    from propkit.demo_county import County

OPEN = """
import time, propkit as pk
kit = pk.open({store!r}, settings=pk.Settings.load(**{settings!r}))
"""
LOOK = """
seen = []
def look():
    (row,) = kit.store.rows("SELECT count(*) AS n FROM parcels")
    seen.append(row["n"])
    (ended,) = kit.store.rows("SELECT count(*) AS n FROM items WHERE state = 'done'")
    assert ended["n"] >= row["n"]
    time.sleep(0.05)
    return row["n"]
"""
LOOK_UNTIL_ROWS = "while not look():\n    pass"
LOOK_TO_THE_END = """
while kit.batch("last").state == "running":
    look()
"""


class Kernel:
    """A kernel that runs cells one after the other."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> None:
        """Run a cell to its end."""
        answer = self._client.execute_interactive(
            code, timeout=DEADLINE_SECONDS, output_hook=lambda _: None
        )
        content = answer["content"]
        assert content["status"] == "ok", "\n".join(content["traceback"])

    def value(self, expression: str) -> Any:
        """Return the value of an expression that Python can read back."""
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            said.append(message["content"].get("text", ""))

        self._client.execute_interactive(
            f"print(repr({expression}))", timeout=DEADLINE_SECONDS, output_hook=hear
        )
        return ast.literal_eval("".join(said))


@contextmanager
def kernel(store: Path, settings: dict[str, Any], home: Path) -> Iterator[Kernel]:
    """Start a kernel with a kit over the store, and end it."""
    folder = home / "jupyter/kernels/propkit-test"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "propkit", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), "utf-8")
    manager = KernelManager(
        kernel_name=folder.name,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder.parent)]),
    )
    manager.start_kernel(
        cwd=str(store.parent),
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)},
    )
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=DEADLINE_SECONDS)
        begun = Kernel(client)
        begun.run(OPEN.format(store=str(store), settings=settings))
        yield begun
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_two_kernels_and_a_server_work_on_one_store(county: County, tmp_path: Path):
    """One kernel collects, the other sees the rows come, the server lists the job; then in turn."""
    folder, home = tmp_path / "notebooks", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    store = folder / "propkit.duckdb"
    settings = settings_of(county, per_second=50)
    first_apns, more = county.apns(40), county.apns(80)[40:]
    with (
        kernel(store, settings, home) as first,
        kernel(store, settings, home) as second,
        jupyter(folder, county) as server,
    ):
        # The batch may not end before the other kernel has looked, however slow that is.
        county.switch(faults=[{"kind": "hang", "system": "assessor", "path": first_apns[-1]}])
        first.run(f"batch = kit.start({first_apns!r}, datasets='parcels')")
        batch_id = first.value("batch.id")
        second.run(LOOK)
        second.run(LOOK_UNTIL_ROWS)
        county.switch(faults=[])
        second.run(LOOK_TO_THE_END)

        seen = second.value("seen")
        assert seen == sorted(seen)
        assert any(0 < rows < 40 for rows in seen)  # it came group by group, not at the end
        job = server.client.get(f"{JOBS}/{batch_id}").json
        assert (job["state"], job["success_count"]) == ("COMPLETED", 40)

        made = server.client.create(more, datasets=["parcels"])
        second.run(f"report = kit.batch({made['id']!r}).wait(timeout=60)")
        assert second.value("report.totals") == {"done": 40}
        assert first.value("len(kit.frame('parcels'))") == 80
        assert first.value("list(kit.batches()['state'])") == ["completed", "completed"]
        assert "owner: this process" in first.value("repr(kit)")
        assert "guest of PID" in second.value("repr(kit)")
