"""What a guest may call, by name; each call is carried out in the owner's own place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from propkit import __version__
from propkit.errors import RequestError
from propkit.kinds import KINDS
from propkit.lookups import check_lookup
from propkit.sharing.discovery import PROTOCOL, check_versions
from propkit.sharing.here import HerePlace
from propkit.sharing.place import Order
from propkit.sharing.wire import as_json, load_params, read_number
from propkit.store.batches import read_batch_id

MAX_WAIT_SECONDS: Final = 1.0
"""No call keeps the owner waiting for longer, so that it can end."""

Body = Mapping[str, Any]


def call(place: HerePlace, name: str, body: Body) -> Any:
    """Carry out a call and return its answer as JSON can hold it.

    Raises
    ------
    RequestError
        There is no such call, or it cannot be read.
    """
    function = _CALLS.get(name)
    if function is None:
        raise RequestError(f"the owner knows no call {name!r}")
    return function(place, body)


def start(place: HerePlace, order: Order, *, is_local: bool) -> None:
    """Start a batch that a guest has ordered.

    Raises
    ------
    RequestError
        It cannot be run so; nothing was started.
    """
    if order.kind not in KINDS:
        raise RequestError(f"no kind {order.kind!r}; expected one of {', '.join(KINDS)}")
    if order.options.get("export_to") is not None and not is_local:
        raise RequestError("export_to names a file of another computer; use kit.to_excel")
    place.start(order, ())


def _hello(place: HerePlace, body: Body) -> Any:
    version, protocol = str(body.get("version"))[:40], body.get("protocol")
    check_versions(
        place.store.path, version, protocol if isinstance(protocol, int) else 0, os.getpid()
    )
    return {
        "pid": os.getpid(),
        "version": __version__,
        "protocol": PROTOCOL,
        "sources": {name: as_json(config.terms) for name, config in place.sources.items()},
    }


def _has_queue(place: HerePlace, _: Body) -> bool:
    return place.has_queue


def _hand_over(place: HerePlace, body: Body) -> None:
    if body.get("pid") != os.getpid():
        raise RequestError("the request does not name the owner that is to hand over")
    place.begin_hand_over()


def _flush(place: HerePlace, _: Body) -> None:
    place.flush()


def _rates(place: HerePlace, _: Body) -> dict[str, float]:
    return place.rates()


def _is_running(place: HerePlace, body: Body) -> bool:
    return place.is_running(read_batch_id(body.get("batch_id")))


def _will_run(place: HerePlace, body: Body) -> bool:
    return place.will_run(read_batch_id(body.get("batch_id")))


def _progress(place: HerePlace, body: Body) -> Any:
    progress = place.progress(read_batch_id(body.get("batch_id")))
    return None if progress is None else as_json(progress)


def _events(place: HerePlace, body: Body) -> list[Any]:
    after = int(read_number(body.get("after")))
    found = place.events(read_batch_id(body.get("batch_id")), after)
    return [[number, as_json(progress)] for number, progress in found]


def _wait(place: HerePlace, body: Body) -> bool:
    seconds = read_number(body.get("seconds"), most=MAX_WAIT_SECONDS)
    return place.wait(read_batch_id(body.get("batch_id")), seconds)


def _cancel(place: HerePlace, body: Body) -> None:
    place.cancel(read_batch_id(body.get("batch_id")))


def _leave(place: HerePlace, body: Body) -> None:
    place.leave(read_batch_id(body.get("batch_id")))


def _retry(place: HerePlace, body: Body) -> None:
    only = body.get("only")
    place.retry(read_batch_id(body.get("batch_id")), None if only is None else str(only)[:40])


def _free(place: HerePlace, body: Body) -> None:
    place.free(read_batch_id(body.get("batch_id")))


def _resume(place: HerePlace, body: Body) -> None:
    place.resume(read_batch_id(body.get("batch_id")))


def _leads(place: HerePlace, body: Body) -> Any:
    given = body.get("given")
    if not isinstance(given, dict):
        raise RequestError("the request holds nothing about leads")
    return place.leads(str(body.get("name"))[:40], given)


def _areas(place: HerePlace, body: Body) -> Any:
    given = body.get("given")
    if not isinstance(given, dict):
        raise RequestError("the request holds nothing about layers")
    return place.areas(str(body.get("name"))[:40], given)


def _change_postings(place: HerePlace, body: Body) -> None:
    given = load_params(body.get("given"))
    if not isinstance(given, dict):
        raise RequestError("the request holds no change of the postings")
    try:
        place.change_postings(str(body.get("change"))[:40], given)
    except (KeyError, TypeError) as error:
        raise RequestError(f"the postings cannot be changed so: {error}") from error


def _delete(place: HerePlace, body: Body) -> None:
    place.delete(read_batch_id(body.get("batch_id")))


def _figures(place: HerePlace, _: Body) -> Any:
    return as_json(place.figures())


def _prune(place: HerePlace, body: Body) -> Any:
    seconds = read_number(body.get("seconds"), most=timedelta.max.total_seconds() - 1)
    return as_json(place.prune(timedelta(seconds=seconds), apply=body.get("apply") is True))


def _look_up(place: HerePlace, body: Body) -> Any:
    given, limit = body.get("given"), int(read_number(body.get("limit")))
    if not isinstance(given, dict):
        raise RequestError("the request does not say what to look up")
    texts = {str(name)[:40]: str(text)[:400] for name, text in given.items()}
    return as_json(place.look_up(check_lookup(str(body.get("among"))[:40]), texts, limit))


def _reparse(place: HerePlace, body: Body) -> int:
    config = place.sources.get(str(body.get("source"))[:80])
    if config is None:
        raise RequestError(f"the owner knows no source {str(body.get('source'))[:80]!r}")
    return len(place.reparse(config.source, apply=True))


def _snapshot(place: HerePlace, _: Body) -> str:
    # Only the name: the guest takes it from beside the store, wherever it wants it.
    return place.draft_snapshot().name


_CALLS: Final[dict[str, Callable[[HerePlace, Body], Any]]] = {
    "hello": _hello,
    "has_queue": _has_queue,
    "hand_over": _hand_over,
    "flush": _flush,
    "rates": _rates,
    "is_running": _is_running,
    "will_run": _will_run,
    "progress": _progress,
    "events": _events,
    "wait": _wait,
    "cancel": _cancel,
    "leave": _leave,
    "retry": _retry,
    "resume": _resume,
    "free": _free,
    "leads": _leads,
    "areas": _areas,
    "change_postings": _change_postings,
    "delete": _delete,
    "figures": _figures,
    "prune": _prune,
    "reparse": _reparse,
    "look_up": _look_up,
    "snapshot": _snapshot,
}
