"""Which cluster is to collect: checked before a batch is made."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from typing import Any

from propkit import __version__
from propkit.errors import RequestError

_CONNECT_SECONDS = 10.0
_EXPECTED = "a distributed.Client, or the address of a scheduler (tcp://host:8786)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that was reached: the scheduler's address, and what its connections need.

    ``client`` is the one that was given, None where only the address was.
    """

    address: str
    security: Any = field(repr=False)
    client: Any = field(default=None, repr=False)

    @property
    def is_given_up(self) -> bool:
        """Whether the client that was given is closed by now."""
        return self.client is not None and self.client.status in {"closed", "closing"}


def find_cluster(given: object, kind: str) -> Cluster | None:
    """Return the cluster that ``given`` names, reached and fit to collect; None where None is given.

    Raises
    ------
    RequestError
        It is no cluster, cannot be reached, has no workers where nothing starts some when they are
        wanted, or workers without this propkit; or batches of this ``kind`` are not for a cluster.
    """
    if given is None:
        return None
    if kind == "leads":
        raise RequestError("leads are bought by the owner of the store only; leave cluster out")
    try:
        from distributed import Client
    except ImportError:
        raise RequestError(
            'cluster= needs Dask, which is not installed: pip install "propkit[cluster]"'
        ) from None
    connect: Any = Client
    if isinstance(given, Client):
        if given.asynchronous:
            raise RequestError(
                "cluster= takes no asynchronous client; give the scheduler's address"
            )
        if given.status != "running":
            raise RequestError(f"cluster={given!r} is not connected ({given.status})")
        _check_workers(given)
        address = str(getattr(given.scheduler, "address", ""))
        return Cluster(address=address, security=given.security, client=given)
    if not isinstance(given, str) or not given.strip():
        raise RequestError(f"cluster={given!r} is no cluster; expected {_EXPECTED}")
    try:
        with connect(given, timeout=_CONNECT_SECONDS, set_as_default=False) as client:
            _check_workers(client)
            return Cluster(address=given, security=client.security)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, RequestError):
            raise
        why = str(error).partition("\n")[0]
        raise RequestError(
            f"cluster={given!r} cannot be reached: {why}; expected {_EXPECTED}"
        ) from (error)


def check_version(worker: str, said: object) -> None:
    """Refuse a worker that has another propkit than this process, or none.

    Raises
    ------
    RequestError
        The message names both versions.
    """
    if isinstance(said, BaseException):
        raise RequestError(
            f"the cluster's worker {worker} has no propkit ({said}); install propkit {__version__}"
            " there"
        )
    if said != __version__:
        raise RequestError(
            f"the cluster's worker {worker} has propkit {said}, and here is {__version__}: install"
            " the same one"
        )


def _check_workers(client: Any) -> None:
    # A function of Python's own: a worker without propkit can be asked for it, too.
    said = client.run(pkgutil.resolve_name, "propkit:__version__", on_error="return")
    # Of a cluster object that scales by itself a first batch has some started.
    if not said and client.cluster is None:
        raise RequestError("the cluster has no workers; start some, or wait for them, first")
    for worker, version in said.items():
        check_version(worker, version)
