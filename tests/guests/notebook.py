"""Another notebook over the same store: a process of its own that runs cells for a test.

It opens the store, says so, then reads cells and answers each with the value of the last
expression, as JSON.
"""

from __future__ import annotations

import ast
import json
import os
import time
import traceback
from typing import TYPE_CHECKING, Any

import propkit as pk

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def main(
    cells: Connection,
    said: Connection,
    place: tuple[dict[str, str], str],
    path: str,
    settings: dict[str, Any],
) -> None:
    """Open the store and run what comes; ``place`` is the environment and the working folder."""
    environment, folder = place
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)

    def say(**line: Any) -> None:
        said.send(json.dumps(line, default=str))

    names: dict[str, Any] = {"pk": pk, "path": path, "events": [], "time": time}
    try:
        names["kit"] = kit = pk.open(path, settings=pk.Settings.load(**settings))
    except pk.PropkitError as error:
        say(error=type(error).__name__, message=str(error))
        return
    say(value=repr(kit))
    while (code := next_cell(cells)) is not None:
        try:
            say(value=run_cell(code, names))
        except BaseException as error:  # noqa: BLE001 -- the test wants to see it
            message = f"{error}\n{traceback.format_exc()}"
            say(error=type(error).__name__, message=message)
    kit.close()


def next_cell(cells: Connection) -> str | None:
    """Wait for a cell; None when no more will come."""
    try:
        code: str = cells.recv()
    except EOFError:
        return None
    return code


def run_cell(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 -- that is what it is for
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307
