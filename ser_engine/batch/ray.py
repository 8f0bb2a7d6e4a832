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
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, cast

import numpy as np
import ray
import ray.util.client
from ray.exceptions import RayError

from ser_engine.batch.local import WAIT_S, Pool
from ser_engine.batch.plan import Plan, find_models
from ser_engine.batch.rows import Outcome
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import explain
from ser_engine.errors import InvalidSettings, SerError
from ser_engine.settings import Settings, variable

Taken = tuple[list[bytes], "SerError | str | None"]
"""Pickled outcomes, and None while there may be more, else why not: an error, which is final, or a reason."""
TRIES = 3
"""How often a pipeline is run before it is given up; Ray sometimes loses one together with a node."""
TOGETHER = 64
WAVE = 20_000
"""Lists that are handed to Ray at a time, so that the list of all recordings is never in memory."""


class Scorer:
    """An actor: analyzes one list of recordings at a time in a worker process of its own.

    Where the device is "cuda", Ray gives it a GPU of its own, by CUDA_VISIBLE_DEVICES.
    """

    def __init__(self, plan: Plan, settings: Settings, stop: Any) -> None:
        if not settings.models_dir.is_dir():  # of another machine
            settings = replace(settings, models_dir=Settings().models_dir)
        self._stop = stop
        self._refused: SerError | None = None
        try:
            if find_models(settings) != plan.models:
                raise SerError(f"The node {platform.node()} has other models than the plan.")
            self._pool = Pool(settings, workers=1)
        except SerError as error:
            self._refused = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outcomes of pickled lists of recordings, none of them once the job is stopped.

        An error that ends the job is one of them: Ray loses what an error says that an actor raises.
        """
        outcomes: list[bytes] = []
        try:
            if self._refused:
                raise self._refused
            for chunk in batch["chunk"]:
                if not self._stopped():
                    own = self._pool.analyze(iter([pickle.loads(chunk)]))
                    outcomes += [pickle.dumps(outcome) for outcome in own if outcome is not None]
        except SerError as error:
            outcomes.append(pickle.dumps(error))
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

    Raise InvalidSettings where there is no such cluster, or where the device is "cuda" and it has no GPU.
    """
    connect(address, workers, runtime_env)
    try:
        if settings.device == "cuda" and not ray.cluster_resources().get("GPU"):  # type: ignore[no-untyped-call]
            raise InvalidSettings(f"{variable('device')} is cuda, but the cluster has no GPU.")
        flag: Any = _Stop.remote()  # type: ignore[attr-defined]
        filled = (chunk for chunk in chunks if chunk)
        while wave := list(islice(filled, WAVE)):
            yield from _analyze_wave(wave, (plan, settings, flag, workers), stop)
            if stop():
                return
    except RayError as error:
        raise SerError(f"The cluster is lost ({explain(error)}).") from error
    finally:
        ray.shutdown()


def connect(address: str | None, workers: int = 0, runtime_env: Mapping[str, Any] | None = None) -> None:
    """Connect to a cluster, or start one on this machine; no statistics leave it, and no dashboard is started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a lost node is no news to people
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        if address == "auto":
            # The cluster of this machine by its address: under the name “auto”, Ray 2.60 ended actors as they started.
            from ray._private.services import canonicalize_bootstrap_address_or_die

            found = canonicalize_bootstrap_address_or_die(address)
        own: dict[str, Any] = {"address": found if address == "auto" else address}
        if address is None:
            own = {"include_dashboard": False, "num_cpus": workers or None}
        ray.init(**own, runtime_env=dict(runtime_env or {}), log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidSettings(f"There is no Ray cluster at {address or 'this machine'} ({explain(error)}).") from None


def _analyze_wave(
    wave: Sequence[Sequence[Item]], how: tuple[Plan, Settings, Any, int], stop: Callable[[], bool]
) -> Iterator[Outcome | None]:
    """Run a pipeline until every recording has an outcome; one that Ray gave up is begun again with what remains."""
    remaining = {item.file: item for chunk in wave for item in chunk}
    for _ in range(TRIES):
        chunks = [[item for item in chunk if item.file in remaining] for chunk in wave]
        pipeline = _start([chunk for chunk in chunks if chunk], how)
        reason = failure = None
        while reason is None:
            if failure or stop():
                how[2].set.remote()  # again and again, since the actor forgets it with its node
            outcomes, reason = pipeline()
            for outcome in map(pickle.loads, outcomes):
                if isinstance(outcome, SerError):  # raised once the pipeline has ended, which would start Ray again
                    failure = outcome
                elif remaining.pop(outcome.file, None):
                    yield outcome
            yield None
        if failure:
            raise failure
        if not remaining or stop():
            return
        if isinstance(reason, SerError):
            raise reason
    raise SerError(f"The cluster has given up {TRIES} times ({reason}).")


def _start(chunks: Sequence[Sequence[Item]], how: tuple[Plan, Settings, Any, int]) -> Callable[[], Taken]:
    """Start a pipeline and return its `Pipeline.take`.

    It runs in this process or, where that is outside of the cluster, in an actor, since Ray Data needs to be inside.
    """
    inside: bool = not ray.util.client.ray.is_connected()  # type: ignore[no-untyped-call]
    if inside:
        return Pipeline(chunks, *how).take
    actor: Any = ray.remote(num_cpus=0)(Pipeline).remote(chunks, *how)
    return lambda: cast("Taken", ray.get(actor.take.remote()))


class Pipeline:
    """A pipeline of Ray Data, in a thread, since waiting for it would delay progress and Ctrl-C."""

    def __init__(
        self, chunks: Sequence[Sequence[Item]], plan: Plan, settings: Settings, flag: Any, workers: int
    ) -> None:
        from ray.data import ActorPoolStrategy, DataContext, from_items

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_consecutive_actor_init_deaths = TRIES
        # Only what the cluster can place now is started at once: Ray Data fails where an actor still waits for a core
        # when the work is done. In one that grows, the pool grows with it, up to `workers`.
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = int(settings.device == "cuda")
        places = max(1, int(resources.get("GPU" if gpus else "CPU", 1)))
        most = min(len(chunks), workers or places)
        self._pipeline = from_items(
            [{"chunk": pickle.dumps(chunk)} for chunk in chunks], override_num_blocks=len(chunks)
        ).map_batches(
            Scorer,
            fn_constructor_args=(plan, settings, flag),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=min(most, places), max_size=most),
            num_cpus=1,
            num_gpus=gpus,
        )
        self._done: queue.Queue[bytes | str | SerError] = queue.Queue(maxsize=64)
        threading.Thread(target=self._run, daemon=True).start()

    def take(self) -> Taken:
        """Wait half a second for pickled outcomes, and return them, and how the pipeline ended: see `Taken`."""
        outcomes: list[bytes] = []
        with suppress(queue.Empty):
            while len(outcomes) < TOGETHER:
                message = self._done.get(timeout=0.0 if outcomes else WAIT_S)
                if not isinstance(message, bytes):
                    return outcomes, message
                outcomes.append(message)
        return outcomes, None

    def _run(self) -> None:
        try:
            for batch in self._pipeline.iter_batches(batch_size=None, prefetch_batches=0):
                for outcome in batch["outcome"]:
                    self._done.put(bytes(outcome))
            self._done.put("it ended early")
        except BaseException as error:
            self._done.put(_reason(error))


def _reason(error: BaseException) -> SerError | str:
    """Return the engine's own error in that of a pipeline, or what the innermost one says."""
    cause = error
    while not isinstance(cause, SerError) and (deeper := getattr(cause, "cause", None) or cause.__cause__):
        cause = deeper
    return SerError(str(cause)) if isinstance(cause, SerError) else explain(cause)
