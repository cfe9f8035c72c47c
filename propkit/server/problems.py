"""What goes wrong, as problem details (RFC 9457): what happened and what to do, nothing of inside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from tornado.web import HTTPError

from propkit.server.models import FieldError, ProblemModel

MEDIA_TYPE: Final = "application/problem+json"

_DETAILS: Final = {
    400: "The request cannot be read.",
    403: "Log in, or send the server's token: Authorization: token …",
    404: "There is nothing at this address.",
    405: "This address does not know the method.",
    500: "Something went wrong; the server's log says what.",
}
_MOST_ERRORS: Final = 50
_BRANCH: Final = re.compile(r"constrained-\w+|dict\[.*\]")
"""How pydantic calls one of several kinds of value that a field takes: no part of its path."""


class ProblemError(HTTPError):
    """An answer that says what is wrong, in words for the client."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        job: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status)
        self.detail = detail
        self.errors = errors
        self.job = job
        self.headers = dict(headers or {})


def field_problem(error: ValidationError, prefix: str = "") -> ProblemError:
    """Return what a model has found, by field; 400 where it is no JSON at all."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(fault["type"] == "json_invalid" for fault in found):
        return ProblemError(400, "The body is no JSON that can be read.")
    details: dict[str, str] = {}
    for fault in found[:_MOST_ERRORS]:
        field, detail = _field_error(fault, prefix)
        details[field] = f"{details[field]}, or: {detail}" if field in details else detail
    errors = [FieldError(field=field, detail=detail) for field, detail in details.items()]
    more = f" ({len(found)} faults, the first {_MOST_ERRORS} shown)" if len(found) > 50 else ""
    return ProblemError(422, f"The request holds values that cannot be used{more}.", errors=errors)


def describe(status: int, error: BaseException | None, path: str) -> ProblemModel:
    """Return the problem that any error is told as.

    What tornado and Jupyter say of a refusal is passed on; of everything else only the status.
    """
    detail = _DETAILS.get(status, f"{_title(status)}.")
    errors, job = None, None
    if isinstance(error, ProblemError):
        detail, errors, job = error.detail, error.errors, error.job
    elif isinstance(error, HTTPError) and status == 403 and error.log_message:
        detail = f"Refused: {error.log_message}"
    return ProblemModel(
        title=_title(status), status=status, detail=detail, instance=path, errors=errors, job=job
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _field_error(fault: Any, prefix: str) -> tuple[str, str]:
    parts = [str(part) for part in fault["loc"] if not _BRANCH.fullmatch(str(part))]
    field = ".".join([prefix, *parts] if prefix else parts) or "body"
    return field, str(fault["msg"]).removeprefix("Value error, ")
