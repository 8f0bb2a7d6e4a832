"""The engine of a cluster: Ray Data moves lists of recordings to actors, and their rows back.

The process that started the job lists the sources and commits the rows, as on one machine, so that nodes need no shared
disk; they read the recordings. An actor keeps a worker process (`local.Pool`), which may be ended by a recording
without harm to the actor. When a node is lost, Ray analyzes its lists on others.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from ser_engine.batch.local import WAIT_S, Pool
from ser_engine.batch.plan import Plan, find_models
from ser_engine.batch.rows import Outcome
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import explain
from ser_engine.errors import InvalidSettings, SerError
from ser_engine.settings import Settings

WAVE = 20_000
"""Lists that are handed to Ray at a time, so that the list of all recordings is never in memory."""


class Scorer:
    """An actor: analyzes one list of recordings at a time in a worker process of its own."""

    def __init__(self, plan: Plan, settings: Settings, stop: Any) -> None:
        if not settings.models_dir.is_dir():  # of another machine
            settings = replace(settings, models_dir=Settings().models_dir)
        if find_models(settings) != plan.models:
            raise SerError(f"The node {platform.node()} has other models than the plan.")
        self._stop = stop
        self._pool = Pool(settings, workers=1)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outcomes of pickled lists of recordings, none of them once the job is stopped."""
        outcomes: list[bytes] = []
        for chunk in batch["chunk"]:
            if not self._stopped():
                own = self._pool.analyze(iter([pickle.loads(chunk)]))
                outcomes += [pickle.dumps(outcome) for outcome in own if outcome is not None]
        return {"outcome": np.array(outcomes, object)}

    def _stopped(self) -> bool:
        """Whether the job was stopped, as far as is known while the actor that knows it moves to another node."""
        try:
            return bool(ray.get(self._stop.is_set.remote()))
        except RayError:
            return False


@ray.remote(num_cpus=0, max_restarts=-1)
class _Stop:
    """Says whether the job was stopped."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Stop."""
        self._set = True

    def is_set(self) -> bool:
        """Whether it was stopped."""
        return self._set


def analyze(
    plan: Plan,
    settings: Settings,
    chunks: Iterator[Sequence[Item] | None],
    stop: Callable[[], bool],
    address: str | None = None,
    workers: int = 0,
    runtime_env: Mapping[str, Any] | None = None,
) -> Iterator[Outcome | None]:
    """Yield what becomes of each recording, and None about twice a second; others as of `local.Pool.analyze`.

    Raise InvalidSettings where there is no such cluster.
    """
    connect(address, workers, runtime_env)
    flag: Any = _Stop.remote()  # type: ignore[attr-defined]
    try:
        filled = (chunk for chunk in chunks if chunk)
        while wave := list(islice(filled, WAVE)):
            yield from _analyze_wave(wave, plan, settings, flag, stop, workers)
            if stop():
                return
    finally:
        ray.shutdown()


def connect(address: str | None, workers: int = 0, runtime_env: Mapping[str, Any] | None = None) -> None:
    """Connect to a cluster, or start one on this machine; no statistics leave it, and no dashboard is started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a lost node is no news to people
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own: dict[str, Any] = {"address": address}
    if address is None:
        own = {"include_dashboard": False, "num_cpus": workers or None}
    try:
        ray.init(**own, runtime_env=dict(runtime_env or {}), log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidSettings(f"There is no Ray cluster at {address or 'this machine'} ({explain(error)}).") from None


def _analyze_wave(
    wave: Sequence[Sequence[Item]], plan: Plan, settings: Settings, flag: Any, stop: Callable[[], bool], workers: int
) -> Iterator[Outcome | None]:
    """Run a pipeline of Ray Data in a thread, since waiting for it would delay progress and Ctrl-C."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = [{"chunk": pickle.dumps(chunk)} for chunk in wave]
    pipeline = from_items(rows, override_num_blocks=len(rows)).map_batches(
        Scorer,
        fn_constructor_args=(plan, settings, flag),
        batch_size=1,
        compute=ActorPoolStrategy(min_size=1, max_size=workers or None),
        num_cpus=1,
    )
    done: queue.Queue[Any] = queue.Queue(maxsize=64)

    def consume() -> None:
        try:
            for batch in pipeline.iter_batches(batch_size=None, prefetch_batches=0):
                for outcome in batch["outcome"]:
                    done.put(pickle.loads(outcome))
            done.put(None)
        except BaseException as error:
            done.put(error)

    threading.Thread(target=consume, daemon=True).start()
    while True:
        if stop():
            flag.set.remote()  # again and again, since the actor forgets it with its node
        try:
            message = done.get(timeout=WAIT_S)
        except queue.Empty:
            yield None
            continue
        if message is None:
            return
        if isinstance(message, BaseException):
            raise _sentence(message) from message
        yield message


def _sentence(error: BaseException) -> SerError:
    """Return the error of a pipeline as one that people see."""
    cause = error
    while not isinstance(cause, SerError) and (deeper := getattr(cause, "cause", None) or cause.__cause__):
        cause = deeper
    return cause if isinstance(cause, SerError) else SerError(f"The cluster has given up ({explain(cause)}).")
