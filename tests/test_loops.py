"""The loops of propkit's own threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from propkit.loops import new_loop

SAY = "import os; print(os.getpgid(0) == os.getpid())"


def test_ctrl_c_ends_no_process_that_a_loop_has_started():
    """It goes to the whole group of the process: a browser would be gone before its item."""

    async def start() -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SAY, stdout=subprocess.PIPE
        )
        return (await process.communicate())[0]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        said = runner.run(start())

    assert said == b"True\n"
