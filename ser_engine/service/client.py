"""A client of the service.

>>> from ser_engine.service.client import Client
>>> with Client("http://127.0.0.1:8000") as client:           # doctest: +SKIP
...     answer = client.analyze("call.wav", channels="split")
...     print(answer.top, answer.transcript.text)
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import urlencode

import httpx2
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ser_engine.service.answers import Answer, Batch, LiveUpdate, Model, Models, ProblemDetails

TIMEOUT_S = 600.0
"""Seconds without a byte of an answer: a long recording is analyzed in silence."""
MAX_UPDATE = 2**20


class ServiceError(Exception):
    """An answer that is an error: its text is the sentence, `kind` such as "no-speech", `status` that of HTTP.

    `retry_s` are the seconds after which to try again, None where that would not help.
    """

    def __init__(self, problem: ProblemDetails, retry_s: float | None = None) -> None:
        super().__init__(problem.detail)
        self.kind, self.status, self.retry_s = problem.type.rpartition(":")[2], problem.status, retry_s


class Client:
    """A client of one service; safe to share between threads.

    Parameters
    ----------
    url : where the service is, such as http://127.0.0.1:8000
    key : a key of it, where it has keys
    timeout_s : seconds to wait for an answer
    retries : how often to try again where the service is busy, after as many seconds as it says
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", key: str = "", timeout_s: float = TIMEOUT_S, retries: int = 0
    ) -> None:
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._url, self._retries = url.rstrip("/"), retries
        self._http = httpx2.Client(base_url=self._url, headers=self._headers, timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def analyze(self, recording: str | Path | bytes | BinaryIO, **options: str | int | bool) -> Answer:
        """Return the answer to a recording: its path, its bytes or an open file.

        Options are those of the service: name, model, transcript, words, language, track, channels, channel_names,
        speakers. Raise ServiceError where there is no answer, OSError for a file that cannot be read.
        """
        if isinstance(recording, (str, Path)):
            with Path(recording).open("rb") as file:
                return self.analyze(file, **{"name": Path(recording).name, **options})
        for left in range(self._retries, -1, -1):
            if not isinstance(recording, bytes):
                recording.seek(0)
            answer = self._http.post("/v1/analyze", params=options, content=recording)
            try:
                return Answer.model_validate(_read(answer))
            except ServiceError as error:
                if not left or error.retry_s is None:
                    raise
                time.sleep(error.retry_s)
        raise AssertionError("unreachable")

    def models(self) -> list[Model]:
        """Return the models of the service, the default first."""
        return Models.model_validate(_read(self._http.get("/v1/models"))).models

    def start_batch(self, sources: list[str], **options: str | bool) -> Batch:
        """Start to analyze recordings on the service's storage, paths below its folder of archives.

        Options are model, transcript, language, channels, channel_names, speakers. The same call goes on with the same
        batch, where it was stopped. Raise ServiceError for what is not there, and where another batch is under way.
        """
        answer = self._http.post("/v1/batches", json={"sources": sources, **options})
        return Batch.model_validate(_read(answer))

    def batch(self, id: str) -> Batch:
        """Return how far a batch is; raise ServiceError if there is none of this id."""
        return Batch.model_validate(_read(self._http.get(f"/v1/batches/{id}")))

    def live(
        self, chunks: Iterable[NDArray[np.floating[Any]]], rate: int, **options: str | float | bool
    ) -> Iterator[LiveUpdate]:
        """Send chunks of mono sound, float [n] in -1..1, as they come; yield the updates of the live session.

        Options are those of the service: model, window, hop, gate, groups, skip. Raise ServiceError where the session
        is refused or fails.
        """
        query = urlencode({"rate": rate, "format": "f32le"} | {name: str(value) for name, value in options.items()})
        address = f"ws{self._url.removeprefix('http')}/v1/live?{query}"
        try:
            with connect(address, additional_headers=self._headers, compression=None, max_size=MAX_UPDATE) as socket:
                updates = _Updates(socket)
                yield from updates.play(chunks)
        except InvalidStatus as error:
            response = error.response
            retry = response.headers.get("Retry-After")
            raise _problem(bytes(response.body or b""), response.status_code, retry) from None


class _Updates:
    """The two directions of a live session."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ended = False

    def play(self, chunks: Iterable[NDArray[np.floating[Any]]]) -> Iterator[LiveUpdate]:
        try:
            for chunk in chunks:
                self._socket.send(np.ascontiguousarray(chunk, "<f4").tobytes())
                yield from self._receive(0)
            self._socket.send('{"type": "end"}')
            yield from self._receive(None)
        except ConnectionClosed as closed:
            if not self._ended:
                detail = f"The live session was closed ({closed.rcvd.code if closed.rcvd else 'connection lost'})."
                problem = {"type": "urn:ser:failed", "title": "Closed", "status": 500, "detail": detail}
                raise ServiceError(ProblemDetails.model_validate(problem)) from None

    def _receive(self, timeout: float | None) -> Iterator[LiveUpdate]:
        """Yield the updates that are there, or with no timeout those until the end."""
        while not self._ended:
            try:
                message = json.loads(self._socket.recv(timeout))
            except TimeoutError:
                return
            if message["type"] == "update":
                yield LiveUpdate.model_validate(message)
            elif message["type"] == "error":
                self._ended = True
                raise ServiceError(ProblemDetails.model_validate(message["problem"]))
            elif message["type"] == "end":
                self._ended = True


def _read(answer: httpx2.Response) -> Any:
    """Return the JSON of an answer; raise ServiceError for an error."""
    if answer.is_success:
        return answer.json()
    raise _problem(answer.content, answer.status_code, answer.headers.get("Retry-After"))


def _problem(body: bytes, status: int, retry: str | None) -> ServiceError:
    retry_s = float(retry) if retry and retry.isdecimal() else None
    try:
        return ServiceError(ProblemDetails.model_validate_json(body), retry_s)
    except ValueError:  # from something between the service and the client
        made = {"type": "urn:ser:failed", "title": "No answer", "status": status, "detail": f"HTTP {status}."}
        return ServiceError(ProblemDetails.model_validate(made), retry_s)
