"""The OpenAPI document: what FastAPI makes of the addresses, with examples, errors and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from ser_engine.service.answers import ProblemDetails
from ser_engine.service.gate import OPEN
from ser_engine.service.problems import KINDS, MEDIA_TYPE, Problem
from ser_engine.service.recording import FORM

AUDIO = ("application/octet-stream", "audio/*", "video/*")
RETRIES = {"Retry-After": {"description": "seconds after which to try again", "schema": {"type": "integer"}}}


def recording_body() -> dict[str, Any]:
    """Return the body of an analysis: a form, or the recording itself."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": ["file"], "properties": {"file": binary}, "additionalProperties": False}
    content = {FORM: {"schema": form}, **{kind: {"schema": binary} for kind in AUDIO}}
    return {"requestBody": {"required": True, "content": content}}


def responses(model: type[BaseModel], example: Any, *kinds: str, success: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the responses of an address: its answer, and each kind of error with an example."""
    answer = {"application/json": {"example": example}} if example else {}
    found: dict[int | str, dict[str, Any]] = {success: {"model": model, "content": answer}}
    for status, named in _by_status(kinds).items():
        found[status] = {**_error(named), "model": ProblemDetails}
    return found


def _by_status(kinds: Sequence[str]) -> dict[int, list[str]]:
    statuses: dict[int, list[str]] = {}
    for kind in kinds:
        statuses.setdefault(KINDS[kind][0], []).append(kind)
    return statuses


def _error(kinds: Sequence[str]) -> dict[str, Any]:
    examples = {kind: {"value": Problem(kind).to_dict()} for kind in kinds}
    status, titles = KINDS[kinds[0]][0], "; ".join(KINDS[kind][1] for kind in kinds)
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        "description": titles,
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
        **({"headers": RETRIES} if status in (429, 503) else {}),
    }


def document(app: FastAPI, models: Sequence[str], has_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document, with the names of the models, and what a key adds to every address."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.setdefault("ProblemDetails", ProblemDetails.model_json_schema())
    for path, item in made["paths"].items():
        for operation in item.values():
            added = [*(["missing-key", "wrong-key"] if has_keys and path not in OPEN else []), "forbidden"]
            added += ["too-many-requests"] if has_keys and path.startswith("/v1/") else []
            added += ["method-not-allowed", "headers-too-large", "failed"]
            own = operation["responses"]
            for status, kinds in _by_status(added).items():
                own.setdefault(str(status), _error(kinds))
            for response in own.values():
                # FastAPI documents a model as JSON, beside the type that problems have.
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"].pop("application/json", None)
            if "422" in own and MEDIA_TYPE not in own["422"].get("content", {}):
                own["422"] = _error(["invalid-option"])
            if has_keys and path not in OPEN:
                operation["security"] = [{"key": []}]
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "model":
                    parameter["schema"]["examples"] = list(models)
    if has_keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    app.openapi_schema = made
    return made
