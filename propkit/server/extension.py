"""The extension as Jupyter's server sees it: what it adds, and what it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp

from propkit.server.handlers import make_routes
from propkit.server.service import Service, place_store
from propkit.settings import Settings


class PropkitExtension(ExtensionApp):
    """Adds ``/propkit/api`` to Jupyter's server.

    Where a setting is wrong, Jupyter says so when it starts, and goes on without it.
    """

    name = "propkit"
    service: Service | None = None

    def initialize_handlers(self) -> None:
        """Read the settings and add the addresses."""
        settings = Settings.load()
        root = Path(self.serverapp.root_dir)  # type: ignore[union-attr]
        path = place_store(root, settings.server.store)
        self.service = Service(settings, path, self.log)
        self.handlers.extend(make_routes(self.service))

    async def stop_extension(self) -> None:
        """End with the server."""
        if self.service is not None:
            self.service.streams.end()
            await self.service.close()


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "propkit.server", "app": PropkitExtension}]
