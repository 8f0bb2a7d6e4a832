"""Every error of the service as problem details (RFC 9457): a kind, a status, and one sentence that says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import ValidationException
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from ser_engine.errors import (
    Busy,
    InvalidAudio,
    InvalidSettings,
    NoSpeech,
    NotAudio,
    SerError,
    TooLarge,
    WeightsUnavailable,
)

MEDIA_TYPE = "application/problem+json"
KINDS: dict[str, tuple[int, str, str]] = {
    "bad-request": (400, "The request is malformed", "The body is no form with a file."),
    "missing-key": (401, "A key is needed", "This service needs a key: Authorization: Bearer KEY."),
    "wrong-key": (401, "The key is unknown", "This service does not know the key."),
    "forbidden": (403, "The web site is not allowed", "Web sites need to be allowed by the option --origins."),
    "not-found": (404, "There is no such address", "There is nothing at this address; see /openapi.json."),
    "method-not-allowed": (405, "The method is not allowed", "This address takes GET, not POST."),
    "too-slow": (408, "The request took too long", "The recording did not arrive in time."),
    "too-large": (413, "The recording is too large", "The body has more than 400 MB, the most that is taken."),
    "not-audio": (415, "The file is no recording", "The file is an archive (zip), not a recording."),
    "invalid-audio": (422, "The recording cannot be decoded", "The recording is damaged: no sound could be decoded."),
    "no-speech": (422, "There is too little speech", "No speech was found in the recording."),
    "invalid-option": (422, "An option is invalid", "There is no emotion model “x”; there are voice-and-words."),
    "too-many-requests": (429, "Too many requests", "This key may send 600 requests a minute; try again in 1 s."),
    "headers-too-large": (431, "The headers are too large", "The head of the request is too large."),
    "failed": (500, "The service failed", "Something went wrong with this request; it was not analyzed."),
    "busy": (503, "The service is busy", "Too many recordings are waiting; try again in 5 s."),
    "stopping": (503, "The service is stopping", "The service is being stopped; try again in 5 s."),
    "unavailable": (503, "Weights are missing", "The weights of Whisper are not there."),
}
"""Kind → status, title, and an example of the sentence."""
OF_ERRORS: dict[type[SerError], str] = {
    NotAudio: "not-audio",
    InvalidAudio: "invalid-audio",
    TooLarge: "too-large",
    NoSpeech: "no-speech",
    WeightsUnavailable: "unavailable",
    Busy: "busy",
    SerError: "invalid-option",
    InvalidSettings: "invalid-option",
}


class Problem(HTTPException):
    """An error of a kind of `KINDS`; `detail` is the sentence."""

    def __init__(self, kind: str, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        status, _, example = KINDS[kind]
        super().__init__(status, detail or example, dict(headers or {}))
        self.kind = kind

    @classmethod
    def retry(cls, kind: str, sentence: str, seconds: float) -> Problem:
        """Return a problem that goes away: the sentence says after how many seconds, and so does Retry-After."""
        whole = max(1, math.ceil(seconds))
        return cls(kind, f"{sentence}; try again in {whole} s.", {"Retry-After": str(whole)})

    @classmethod
    def of(cls, error: SerError) -> Problem:
        """Return the problem for an error of the engine."""
        kind = next(OF_ERRORS[each] for each in type(error).mro() if each in OF_ERRORS)
        return cls(kind, str(error))

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON-ready values."""
        title = KINDS[self.kind][1]
        return {"type": f"urn:ser:{self.kind}", "title": title, "status": self.status_code, "detail": self.detail}

    def response(self) -> JSONResponse:
        """Return the problem as a response."""
        headers = dict(self.headers or {})
        if self.status_code == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.to_dict(), self.status_code, headers, MEDIA_TYPE)


async def answer_problem(request: Request, error: Exception) -> JSONResponse:
    """Return an error as problem details; the framework's own, too."""
    if isinstance(error, Problem):
        problem = error
    elif isinstance(error, SerError):
        problem = Problem.of(error)
    elif isinstance(error, ValidationException):
        problem = Problem("invalid-option", _explain(error))
    elif isinstance(error, HTTPException):
        problem = _of_framework(request, error)
    else:
        problem = Problem("failed")
    request.scope.setdefault("state", {})["problem"] = problem.kind
    return problem.response()


def _of_framework(request: Request, error: HTTPException) -> Problem:
    headers = error.headers or {}
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem("not-found")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "another method")
        return Problem("method-not-allowed", f"This address takes {allowed}, not {request.method}.", headers)
    if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem("bad-request", str(error.detail).rstrip(".") + ".")
    return Problem("failed")


def _explain(error: ValidationException) -> str:
    """Return what is wrong with the first invalid option, without repeating its value."""
    first = error.errors()[0]
    place, *path = (str(part) for part in first["loc"])
    name = ".".join(path)
    reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    what = "option" if place == "query" else "entry"
    if first["type"] == "extra_forbidden":
        return f"There is no {what} “{name[:50]}”; see /openapi.json."
    return (
        f"The {what} “{name}” is invalid: {reason[:1].lower()}{reason[1:]}."
        if name
        else f"The body is invalid: {reason}."
    )
