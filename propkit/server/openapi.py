"""The OpenAPI document, made from the models that check what comes and say what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from propkit import __version__
from propkit.server.models import (
    EventModel,
    HealthModel,
    JobList,
    JobModel,
    JobOrder,
    JobQuery,
    LogList,
    LogQuery,
    ProblemModel,
    RetryOrder,
)
from propkit.server.problems import MEDIA_TYPE

_REFERENCE: Final = "#/components/schemas/{model}"
_ID_PATTERN: Final = "^[0-9]{8}-[0-9]{6}-[0-9a-f]{4,16}$"

_PROBLEMS: Final = {
    400: "The request cannot be read.",
    403: "Nobody has logged in, or the user may not do this.",
    404: "There is no such job.",
    409: "The job, or another one, is in the way.",
    413: "The request is too large.",
    415: "The body is no JSON.",
    422: "Values that cannot be used, by field.",
    429: "Too many requests; Retry-After says when to come again.",
    503: "The store cannot be used just now.",
}
_ALWAYS: Final = (400, 403, 413, 422, 429, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address. ``sends`` is the model of a good answer; None: it has no body."""

    name: str
    says: str
    status: int
    sends: type[BaseModel] | None
    query: type[BaseModel] | None = None
    takes: type[BaseModel] | None = None
    must_have_body: bool = False
    refuses: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


_LINK: Final = {"Link": "The first, previous, next and last page (RFC 8288)."}
_CHANGES: Final = (404, 409)

OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("/batch-jobs", "get"): Operation(
        name="listJobs",
        says="List jobs, the newest first.",
        status=200,
        sends=JobList,
        query=JobQuery,
        headers=_LINK,
    ),
    ("/batch-jobs", "post"): Operation(
        name="createJob",
        says="Make a job and start it.",
        status=201,
        sends=JobModel,
        takes=JobOrder,
        must_have_body=True,
        refuses=(409, 415),
        headers={"Location": "The address of the job."},
    ),
    ("/batch-jobs/{id}", "get"): Operation(
        name="readJob", says="Show a job.", status=200, sends=JobModel, refuses=(404,)
    ),
    ("/batch-jobs/{id}", "delete"): Operation(
        name="deleteJob",
        says="Forget a job that does not run; what it collected stays.",
        status=204,
        sends=None,
        refuses=_CHANGES,
    ),
    ("/batch-jobs/{id}/cancel", "post"): Operation(
        name="cancelJob",
        says="Stop a job and cancel what it has left; what it fetched is kept.",
        status=202,
        sends=JobModel,
        refuses=_CHANGES,
    ),
    ("/batch-jobs/{id}/retry", "post"): Operation(
        name="retryJob",
        says="Collect what failed again, or go on with a job that was interrupted or cancelled.",
        status=202,
        sends=JobModel,
        takes=RetryOrder,
        refuses=(*_CHANGES, 415),
    ),
    ("/batch-jobs/{id}/log", "get"): Operation(
        name="readLog",
        says="List what happened, the oldest first.",
        status=200,
        sends=LogList,
        query=LogQuery,
        refuses=(404,),
        headers=_LINK,
    ),
    ("/batch-jobs/{id}/events", "get"): Operation(
        name="followJob",
        says="Follow a job as server-sent events: `progress` until it ends, then `end`; `problem`"
        " where it cannot be followed any more. The data is an EventModel as JSON. 204 where"
        " Last-Event-ID names the end: there is nothing more to come.",
        status=200,
        sends=EventModel,
        refuses=(404,),
        media_type="text/event-stream",
    ),
    ("/health", "get"): Operation(
        name="readHealth", says="Tell how the queue is.", status=200, sends=HealthModel
    ),
    ("/openapi.json", "get"): Operation(
        name="readDocument", says="Send this document.", status=200, sends=None
    ),
}


@cache
def make_document(base_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of the API below a server's base address."""
    paths: dict[str, Any] = {}
    for (path, method), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _describe(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "propkit",
            "version": __version__,
            "description": "Batch jobs that collect county property data into one store.",
        },
        "servers": [{"url": f"{base_url}propkit/api"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token …`, the token of Jupyter's server. A browser that is"
                    " logged in sends its cookie, and X-XSRFToken with every POST and DELETE.",
                }
            },
        },
    }


def _describe(path: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "parameters": _parameters(path, operation),
        "responses": _responses(operation),
    }
    if operation.takes is not None:
        described["requestBody"] = {
            "required": operation.must_have_body,
            "content": {"application/json": {"schema": _reference(operation.takes)}},
        }
    return described


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in path:
        schema = {"type": "string", "pattern": _ID_PATTERN}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            # What is not given is left out; there is no null behind a question mark.
            kinds = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
            described = {**schema, **(kinds[0] if kinds else {})}
            if described.get("default", 0) is None:
                described.pop("default")
            says = described.pop("description", "")
            parameters.append(
                {"name": name, "in": "query", "description": says, "schema": described}
            )
    if operation.media_type == "text/event-stream":
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"type": "string"},
            }
        )
    return parameters


def _responses(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"description": operation.says}
    if operation.headers:
        good["headers"] = {
            name: {"description": says, "schema": {"type": "string"}}
            for name, says in operation.headers.items()
        }
    if operation.media_type == "text/event-stream":
        good["content"] = {operation.media_type: {}}
    elif operation.sends is not None:
        good["content"] = {operation.media_type: {"schema": _reference(operation.sends)}}
    elif operation.status == 200:
        good["content"] = {operation.media_type: {"schema": {"type": "object"}}}
    if operation.status == 201:
        good["links"] = {
            other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
            for (path, _), other in OPERATIONS.items()
            if "{id}" in path
        }
    responses = {str(operation.status): good}
    if operation.media_type == "text/event-stream":
        responses["204"] = {"description": "The client has seen the end already."}
    problem = {"content": {MEDIA_TYPE: {"schema": _reference(ProblemModel)}}}
    for status in sorted({*_ALWAYS, *operation.refuses}):
        responses[str(status)] = {"description": _PROBLEMS[status], **problem}
    return responses


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _schemas() -> dict[str, Any]:
    taken = {(one.takes, "validation") for one in OPERATIONS.values() if one.takes is not None}
    sent = {(one.sends, "serialization") for one in OPERATIONS.values() if one.sends is not None}
    sent.add((ProblemModel, "serialization"))
    models = sorted(taken | sent, key=lambda pair: pair[0].__name__)
    _, schema = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
