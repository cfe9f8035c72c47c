"""The REST API: an extension of Jupyter's server, enabled where propkit is installed.

Batches are jobs there, under ``/propkit/api/batch-jobs``; ``/propkit/api/openapi.json`` tells all.
A request comes to a handler (:mod:`endpoint`, :mod:`handlers`, :mod:`events`), is read into a model
(:mod:`models`), and is carried out in a thread (:mod:`service`): never on Jupyter's own loop.
"""

from propkit import __version__
from propkit.server.extension import _jupyter_server_extension_points

__all__ = ["__version__", "_jupyter_server_extension_points"]
