"""What guests ask, by Arrow Flight: who has the token may ask, order batches and follow them."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import flight

from propkit.errors import ProcessEndsError, PropkitError, RequestError, StoreError
from propkit.sharing.calls import call, start
from propkit.sharing.here import HerePlace
from propkit.sharing.wire import MAX_TABLE, dump_error, load_order, load_params, read_json
from propkit.store import StoreClosedError

log = logging.getLogger(__name__)

T = TypeVar("T")

_FAILED = StoreError("the process that owns the store failed on the request; its log says why")


def serve_flight(
    location: str,
    token: str,
    place: Callable[[], HerePlace],
    chain: list[tuple[bytes, bytes]] | None,
    *,
    is_local: bool,
) -> flight.FlightServerBase:
    """Begin to serve guests, and return what does.

    Parameters
    ----------
    location
        Where it listens, as Flight writes it.
    token
        What a guest must bring.
    place
        Returns the owner's place; a ``StoreClosedError`` sends the guest to look for another owner.
    chain
        Certificate and key (PEM); None: without TLS.
    is_local
        Whether only this computer can reach it.

    Raises
    ------
    pyarrow.ArrowException, OSError
        Nobody may listen there, or the certificate cannot be used.
    """
    return _Flight(location, token, place, chain, is_local=is_local)


class _Token(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses every call that does not bring the token."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._expected = f"Bearer {token}".encode()

    def start_call(self, info: Any, headers: dict[str, Sequence[str | bytes]]) -> None:  # noqa: ARG002
        given = [
            value for name in headers if name.lower() == "authorization" for value in headers[name]
        ]
        brought = given[0] if len(given) == 1 else b""
        raw = brought.encode("utf-8", "replace") if isinstance(brought, str) else brought
        if not hmac.compare_digest(raw, self._expected):
            raise flight.FlightUnauthenticatedError("the token is missing or wrong")


class _Flight(flight.FlightServerBase):  # type: ignore[misc]
    """Hands each request over to the owner's place; whatever goes wrong is told in our words."""

    def __init__(
        self,
        location: str,
        token: str,
        place: Callable[[], HerePlace],
        chain: list[tuple[bytes, bytes]] | None,
        *,
        is_local: bool,
    ) -> None:
        super().__init__(location, tls_certificates=chain, middleware={"token": _Token(token)})
        self._place = place
        self._is_local = is_local

    def do_action(self, context: Any, action: Any) -> list[bytes]:  # noqa: ARG002
        return _answer(lambda: [self._call(action.type, action.body.to_pybytes())])

    def do_get(self, context: Any, ticket: Any) -> Any:  # noqa: ARG002
        return _answer(lambda: flight.RecordBatchStream(self._ask(ticket.ticket)))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:  # noqa: ARG002
        def put() -> None:
            body, place = descriptor.command or b"", self._place()
            read_json(body)
            order = load_order(body, _read_table(reader), place.sources)
            start(place, order, is_local=self._is_local)

        _answer(put)

    def do_exchange(
        self,
        context: Any,  # noqa: ARG002
        descriptor: Any,
        reader: Any,
        writer: Any,
    ) -> None:
        def exchange() -> None:
            body = read_json(descriptor.command or b"")
            table = self._query(body, _read_table(reader))
            writer.begin(table.schema)
            writer.write_table(table)

        _answer(exchange)

    def list_flights(self, context: Any, criteria: bytes) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def get_schema(self, context: Any, descriptor: Any) -> Any:  # noqa: ARG002
        # The one request whose errors Flight would tell with this process's stack.
        return flight.SchemaResult(pa.schema([]))

    def list_actions(self, context: Any) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def _call(self, name: str, body: bytes) -> bytes:
        return json.dumps({"answer": call(self._place(), name, read_json(body))}).encode()

    def _ask(self, ticket: bytes) -> pa.Table:
        body = read_json(ticket)
        return self._search(body) if body.get("what") == "search" else self._query(body, None)

    def _query(self, body: dict[str, Any], wanted: pa.Table | None) -> pa.Table:
        sql, params = body.get("sql"), load_params(body.get("params"))
        if not isinstance(sql, str) or not (params is None or isinstance(params, list | dict)):
            raise RequestError("the request holds no query")
        return self._place().store.answer_guest(sql, params, wanted=wanted)

    def _search(self, body: dict[str, Any]) -> pa.Table:
        query, by, limit = body.get("query"), body.get("by"), body.get("limit")
        if not (isinstance(query, str) and isinstance(by, str) and type(limit) is int):
            raise RequestError("the request holds no search")
        found = self._place().search(query, by, limit)
        table = pa.Table.from_pandas(found, preserve_index=False)
        return table.replace_schema_metadata({"attrs": json.dumps(found.attrs)})


def _answer(do: Callable[[], T]) -> T:
    """Carry a request out; Flight itself would tell the guest this process's stack."""
    try:
        return do()
    except flight.FlightUnavailableError:
        raise
    except (ProcessEndsError, StoreClosedError) as error:  # the guest looks for the next owner
        raise flight.FlightUnavailableError(str(error)) from None
    except PropkitError as error:
        raise flight.FlightServerError("refused", extra_info=dump_error(error)) from None
    except Exception:
        log.exception("a guest's request failed")
        raise flight.FlightServerError("failed", extra_info=dump_error(_FAILED)) from None


def _refuse() -> Any:
    raise RequestError("the owner knows no such request")


def _read_table(reader: Any) -> pa.Table:
    chunks, size = [], 0
    try:
        schema = reader.schema
        for chunk in reader:
            size += chunk.data.nbytes
            if size > MAX_TABLE:
                raise RequestError(f"the table is larger than {MAX_TABLE:,} bytes")
            chunk.data.validate(full=True)
            chunks.append(chunk.data)
        return pa.Table.from_batches(chunks, schema)
    except pa.ArrowException as error:
        raise RequestError("the table cannot be read") from error
