"""The service's addresses; `create_app` makes the application that a server runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from ser_engine.errors import SerError
from ser_engine.models.cards import read_figures
from ser_engine.models.registry import find_model
from ser_engine.models.store import read_config
from ser_engine.service.analyses import Analyses, Cancelled, Engines, Options
from ser_engine.service.answers import BATCH_EXAMPLE, EXAMPLE, Answer, Batch, Models, State
from ser_engine.service.batches import Batches, BatchRequest
from ser_engine.service.config import ServiceSettings
from ser_engine.service.gate import ANALYZE, Gate, Left, Limits
from ser_engine.service.keys import read_keys
from ser_engine.service.live import LiveOptions, Sessions, serve_session
from ser_engine.service.metrics import MEDIA_TYPE, Metrics
from ser_engine.service.openapi import document, recording_body, responses
from ser_engine.service.problems import Problem, answer_problem
from ser_engine.service.recording import read_recording
from ser_engine.settings import Settings, available_cores

DESCRIPTION = """Probabilities of emotions, and the words, from recordings of speech.

Every error is a problem document (RFC 9457), whose `detail` is a sentence for people. `WS /v1/live` is described in
docs/service.md."""
RETRY_S = 5.0


class AnalyzeOptions(BaseModel, extra="forbid"):
    """The query of an analysis, as the options of `ser analyze`."""

    name: Annotated[str, Field(max_length=200, description="name of the recording in the answer")] = ""
    model: Annotated[str, Field(max_length=200, description="name of a model of /v1/models; empty for the default")] = (
        ""
    )
    transcript: Annotated[bool | None, Field(description="whether to transcribe the words")] = None
    words: Annotated[bool | None, Field(description="whether each word gets times of its own")] = None
    language: Annotated[
        str | None, Field(max_length=50, description="code of the language of all speech; empty to detect it")
    ] = None
    track: Annotated[int | None, Field(ge=0, le=1000, description="audio track of a film, from 1")] = None
    channels: Annotated[
        str | None, Field(max_length=10, description="auto, mix, split, or the number of a channel, from 1")
    ] = None
    channel_names: Annotated[
        str | None, Field(max_length=500, description="names of the channels, separated by commas")
    ] = None
    speakers: Annotated[str | None, Field(max_length=10, description="auto, off, or the number of speakers")] = None

    def options(self) -> Options:
        """Return the options as the engine takes them."""
        return Options(
            transcribe=self.transcript,
            words=self.words,
            language=self.language,
            track=self.track,
            channels=self.channels,
            channel_names=self.channel_names,
            speakers=self.speakers,
        )


@dataclass
class Service:
    """The parts of a running service."""

    settings: ServiceSettings
    engines: Engines
    analyses: Analyses
    sessions: Sessions
    batches: Batches
    metrics: Metrics
    uploads: int = 0
    ready: bool = False
    stopping: bool = False

    @contextlib.contextmanager
    def uploading(self) -> Any:
        """Count an upload; raise a problem if there are too many, or if its analysis would find no room."""
        if self.stopping:
            raise Problem.retry("stopping", "The service is being stopped", RETRY_S)
        self.analyses.check_room()
        if self.uploads >= self.settings.uploads:
            raise Problem.retry("busy", "Too many recordings are on their way in", RETRY_S)
        self.uploads += 1
        self.metrics.uploads.inc()
        try:
            yield
        finally:
            self.uploads -= 1
            self.metrics.uploads.dec()


def create_app(settings: Settings, service_settings: ServiceSettings, warm_up: bool = True) -> FastAPI:
    """Return the application; with `warm_up`, the default model is loaded when the service starts."""
    metrics = Metrics()
    # Recordings at once on a core each are answered faster than one after the other on all cores.
    threads = settings.threads or min(settings.thread_count, max(1, available_cores() // service_settings.places))
    service = Service(
        service_settings,
        Engines(replace(settings, threads=threads)),
        Analyses(service_settings.places, service_settings.queue, metrics, threads),
        Sessions(service_settings.sessions, service_settings.idle_s, metrics),
        Batches(service_settings.batches, settings),
        metrics,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(service, warm_up))
        yield
        loading.cancel()
        service.stopping = True
        await service.analyses.stop()
        await service.batches.stop(service_settings.finish_s)

    app = FastAPI(
        title="Speech emotion recognition",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    _add_routes(app, service)
    for kind in (HTTPException, RequestValidationError, SerError):
        app.add_exception_handler(kind, answer_problem)
    app.add_exception_handler(WebSocketRequestValidationError, answer_problem)
    limits = Limits(service_settings, settings.max_bytes, read_keys(service_settings))
    app.add_middleware(Gate, limits=limits, metrics=metrics)
    if origins := service_settings.origins.split():
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.openapi = lambda: document(app, service.engines.names(), bool(limits.keys))  # type: ignore[method-assign]
    return app


async def _load(service: Service, warm_up: bool) -> None:
    try:
        if warm_up:
            await asyncio.to_thread(service.engines.find("").warm_up)
    finally:
        service.ready = True  # what is missing is what the first analysis reports


def _version() -> str:
    try:
        return version("ser-engine")
    except PackageNotFoundError:  # a checkout
        return "0"


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        ANALYZE,
        summary="Analyze a recording",
        tags=["recordings"],
        response_model=None,
        openapi_extra=recording_body(),
        responses=responses(
            Answer, EXAMPLE, "bad-request", "too-slow", "too-large", "not-audio", "invalid-audio", "no-speech",
            "invalid-option", "failed", "busy", "stopping", "unavailable",
        ),
    )  # fmt: skip
    async def analyze(request: Request, query: Annotated[AnalyzeOptions, Query()]) -> Response:
        """Return the emotions, the words and the quality of a recording, as `ser analyze --json` prints them.

        The recording is the file of a form (`multipart/form-data`), or the body itself. Options left out are those of
        the service. If the client disconnects, the analysis is ended.
        """
        engine, options = service.engines.find(query.model), query.options()
        options.check(engine.settings)
        async with contextlib.AsyncExitStack() as opened:
            with service.uploading():
                source, name = await opened.enter_async_context(read_recording(request, query.name))
            try:
                analysis = await service.analyses.run(
                    engine, source, name, options, request.state.key.name, partial(_disconnected, request)
                )
            except Cancelled:
                if service.analyses.stopping.is_set():
                    raise Problem.retry("stopping", "The service is being stopped", RETRY_S) from None
                service.metrics.cancelled.inc()
                raise Left from None
        request.state.log = {
            "audio_s": round(analysis.quality.duration_s, 1),
            "analysis_s": round(analysis.seconds["total"], 3),
            "model": analysis.model,
        }
        return JSONResponse(analysis.to_dict())

    @app.post(
        "/v1/batches",
        summary="Analyze an archive",
        tags=["archives"],
        status_code=202,
        response_model=None,
        responses=responses(
            Batch,
            BATCH_EXAMPLE,
            "bad-request",
            "not-found",
            "too-slow",
            "too-large",
            "invalid-option",
            "busy",
            "stopping",
            success=202,
        ),
    )
    async def start_batch(request: Request, body: BatchRequest) -> JSONResponse:
        """Start `ser batch` on recordings on the storage of the service, and return how far it is.

        The same request is the same batch: it goes on where it was stopped, and takes up new recordings.
        """
        batches = service.batches
        batches.folder  # noqa: B018 (raises a problem where there is none)
        if service.stopping:
            raise Problem.retry("stopping", "The service is being stopped", RETRY_S)
        body.check(service.engines.find(body.model).settings)
        found = await asyncio.to_thread(batches.start, body, request.state.key.name)
        return JSONResponse(found, 202, {"Location": f"/v1/batches/{found['id']}"})

    @app.get(
        "/v1/batches/{id}",
        summary="Say how far a batch is",
        tags=["archives"],
        response_model=None,
        responses=responses(Batch, BATCH_EXAMPLE, "not-found"),
    )
    async def read_batch(request: Request, id: str) -> JSONResponse:
        """Return the state of a batch of this key, and where its datasets are."""
        return JSONResponse(await asyncio.to_thread(service.batches.read, id, request.state.key.name))

    @app.websocket("/v1/live")
    async def live(websocket: WebSocket, query: Annotated[LiveOptions, Query()]) -> None:
        await serve_session(websocket, query, service.engines, service.sessions)

    @app.get("/v1/models", summary="List the models", tags=["models"], responses=responses(Models, None, "unavailable"))
    def models() -> dict[str, Any]:
        """Return the models that an analysis may name, the default first, with their labels."""
        names = service.engines.names()
        return {"models": [_describe(service.engines.find(name).settings, name, name == names[0]) for name in names]}

    @app.get("/healthz", summary="Say whether the service runs", tags=["service"], responses=responses(State, None))
    async def healthz() -> dict[str, str]:
        """Return 200 while the process answers."""
        return {"status": "ok"}

    @app.get(
        "/readyz",
        summary="Say whether the service takes recordings",
        tags=["service"],
        responses=responses(State, None, "busy", "stopping"),
    )
    async def readyz() -> dict[str, str]:
        """Return 200 once the models are loaded, and 503 while the queue is full or the service is being stopped."""
        if service.stopping:
            raise Problem.retry("stopping", "The service is being stopped", RETRY_S)
        if not service.ready:
            raise Problem.retry("busy", "The models are being loaded", RETRY_S)
        service.analyses.check_room()
        return {"status": "ready"}

    @app.get("/metrics", summary="Return figures for Prometheus", tags=["service"], response_class=Response,
             responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})  # fmt: skip
    async def figures() -> Response:
        """Return latency, queue, errors and seconds of audio in Prometheus's text format."""
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)


def _describe(settings: Settings, name: str, default: bool) -> dict[str, Any]:
    """Return a model by its configuration, without loading it."""
    figures = read_figures(settings) or {}
    labels = figures.get("labels") or read_config(find_model(settings, fetch=False)).get("labels", [])
    return {"name": name, "default": default, "labels": list(labels)}


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
