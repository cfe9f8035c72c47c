"""What ``python -m propkit.cli`` runs."""

import os
import sys

from propkit.cli import main

if __name__ == "__main__":
    if os.environ.get("PYTHONUNBUFFERED") is None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
