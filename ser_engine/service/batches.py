"""Archives on shared storage: each batch is a process of its own, `ser batch`, whose results lie beside the archive.

The same request is the same batch: asked for again, it goes on where it was stopped, and takes up new recordings.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO, cast

from pydantic import BaseModel, Field

from ser_engine.service.analyses import Options
from ser_engine.service.logs import log
from ser_engine.service.problems import Problem
from ser_engine.settings import Settings, available_cores

RESULTS = "results"
PROGRESS = "_progress.json"
ID = re.compile(r"[0-9a-f]{16}")
POLL_S = 0.2
RETRY_S = 60.0
Source = Annotated[str, Field(min_length=1, max_length=1000)]
FIGURES = ("done", "failed", "total", "rate", "eta_s", "audio_s", "elapsed_s", "skipped", "changed", "reason")


class BatchRequest(BaseModel, extra="forbid"):
    """The recordings of a batch, as paths below the folder of archives, and its options, as those of an analysis."""

    sources: Annotated[list[Source], Field(min_length=1, max_length=100)]
    model: Annotated[str, Field(max_length=200)] = ""
    transcript: bool = True
    language: Annotated[str | None, Field(max_length=50)] = None
    channels: Annotated[str | None, Field(max_length=10)] = None
    channel_names: Annotated[str | None, Field(max_length=500)] = None
    speakers: Annotated[str | None, Field(max_length=10)] = None

    def check(self, settings: Settings) -> None:
        """Raise InvalidSettings for an invalid option."""
        Options(
            language=self.language,
            channels=self.channels,
            channel_names=self.channel_names,
            speakers=self.speakers,
        ).check(settings)

    def arguments(self, settings: Settings) -> list[str]:
        """Return the options of `ser batch`, which are those of the service where they were left out."""
        options = {
            "--model": self.model or settings.model,
            "--language": settings.language if self.language is None else self.language,
            "--channels": self.channels or settings.channels,
            "--channel-names": self.channel_names or settings.channel_names,
            "--speakers": self.speakers or settings.speakers,
        }
        given = [f"{name}={value}" for name, value in options.items() if value]
        return given if self.transcript else [*given, "--no-transcript"]


class Batches:
    """The batches of a service: one process at a time, results in a folder for each key."""

    def __init__(self, folder: str, settings: Settings) -> None:
        self._folder = Path(folder).expanduser().resolve() if folder else None
        self._settings = settings
        self._running: dict[Path, subprocess.Popen[bytes]] = {}
        self._errors: dict[Path, BinaryIO] = {}

    @property
    def folder(self) -> Path:
        """The folder of archives; raise a problem if there is none."""
        if self._folder is None:
            raise Problem("not-found", "This service has no archives; it is started with --batches FOLDER.")
        return self._folder

    def start(self, request: BatchRequest, owner: str) -> dict[str, Any]:
        """Start a batch, or go on with it, and return how far it is; raise a problem for sources outside the folder."""
        sources = [self._find(source) for source in request.sources]
        id = hashlib.sha256(request.model_dump_json().encode()).hexdigest()[:16]
        out = self.folder / RESULTS / owner / id
        if not self._is_running(out):
            if any(map(self._is_running, list(self._running))):
                raise Problem.retry("busy", "Another batch is under way", RETRY_S)
            self._run(out, sources, request)
        return self.read(id, owner)

    def _find(self, source: str) -> str:
        """Return a source as a path; links are followed, so that they do not lead outside."""
        path = PurePosixPath(source)
        found = self.folder if "\0" in source else Path(os.path.realpath(self.folder / path))
        outside = path.is_absolute() or not found.is_relative_to(self.folder)
        if outside or re.search(r"[\0*?\[]", source):
            raise Problem("invalid-option", f"“{source[:100]}” is no path below the folder of archives.")
        if not found.exists():
            raise Problem("invalid-option", f"There is no “{source[:100]}” in the folder of archives.")
        return str(found)

    def _run(self, out: Path, sources: list[str], request: BatchRequest) -> None:
        workers = max(1, available_cores() // 2)  # the rest is for requests
        command = [
            sys.executable,
            "-m",
            "ser_engine",
            "batch",
            *request.arguments(self._settings),
            f"--workers={workers}",
        ]
        command += ["--resume", "--progress=none", f"--output={out}", "--", *sources]
        errors = self._errors[out] = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115
        self._running[out] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        log("batch", batch=out.name)

    def _is_running(self, out: Path) -> bool:
        process = self._running.get(out)
        if process is not None and process.poll() is not None:
            log("batch ended", batch=out.name, code=process.returncode)
        return process is not None and process.returncode is None

    def read(self, id: str, owner: str) -> dict[str, Any]:
        """Return how far a batch is; raise a problem if its owner has none of this id."""
        out = self.folder / RESULTS / owner / id
        progress = self._progress(out) if ID.fullmatch(id) else None
        process, running = self._running.get(out), ID.fullmatch(id) and self._is_running(out)
        if progress is None and process is None:
            raise Problem("not-found", "There is no batch of this id.")
        progress = progress or {}
        state = progress.get("state", "running")
        if running:
            state = "running"
        elif state == "running":  # it was ended without a word: by a crash, or with the service that started it
            state = "stopped" if process is None or process.returncode == 0 else "failed"
        if state == "failed" and not progress.get("reason"):
            progress = {**progress, "reason": self._last_words(out)}
        known = {name: progress[name] for name in FIGURES if name in progress}
        return {"id": id, "state": state, "output": f"{RESULTS}/{owner}/{id}", **known}

    def _last_words(self, out: Path) -> str:
        """Return the sentence with which `ser batch` refused its work, with paths as clients know them."""
        errors = self._errors.get(out)
        if errors is None:
            return ""
        errors.seek(0)
        lines = errors.read()[-10_000:].decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "").replace(f"{self.folder}{os.sep}", "")

    def _progress(self, out: Path) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((out / PROGRESS).read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return None

    async def stop(self, seconds: float) -> None:
        """Let batches save what is under way; they go on when they are asked for again."""
        processes = [process for process in self._running.values() if process.poll() is None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for _ in range(round(seconds / POLL_S)):
            if all(process.poll() is not None for process in processes):
                return
            await asyncio.sleep(POLL_S)
        for process in processes:
            process.kill()
            await asyncio.to_thread(process.wait)
