"""Another notebook over the same store: a process of its own that runs cells for a test.

Run as ``python notebook.py STORE SETTINGS``, where SETTINGS is JSON. It opens the store, says so,
then reads cells, a line of JSON each, and answers with the value of the last expression.
"""

from __future__ import annotations

import ast
import json
import sys
import time
import traceback
from typing import Any

import propkit as pk


def main(path: str, settings: dict[str, Any]) -> None:
    """Open the store and run what comes."""
    names: dict[str, Any] = {"pk": pk, "path": path, "events": [], "time": time}
    try:
        names["kit"] = kit = pk.open(path, settings=pk.Settings.load(**settings))
    except pk.PropkitError as error:
        say(error=type(error).__name__, message=str(error))
        return
    say(value=repr(kit))
    for line in sys.stdin:
        try:
            say(value=run_cell(json.loads(line), names))
        except BaseException as error:  # noqa: BLE001 -- the test wants to see it
            message = f"{error}\n{traceback.format_exc()}"
            say(error=type(error).__name__, message=message)
    kit.close()


def run_cell(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 -- that is what it is for
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


def say(**line: Any) -> None:
    """Write a line to the test."""
    print(json.dumps(line, default=str), flush=True)  # noqa: T201 -- the test reads it


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
