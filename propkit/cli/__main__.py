"""What ``python -m propkit.cli`` runs."""

import os
import sys

from propkit.cli import main

if __name__ == "__main__":
    if os.environ.get("PYTHONUNBUFFERED") is None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    code = main()
    # Python remembers a Ctrl+C that came while a text was executed, as imports do that make
    # dataclasses, and would end by SIGINT though it was handled; to execute another forgets it.
    exec("")  # noqa: S102
    sys.exit(code)
