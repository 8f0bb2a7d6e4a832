"""The service under load: 8 clients compared with one, and errors under 64 clients.

The service is a process of its own, as `ser serve` starts it, and so are the clients: `python -m benchmarks.service
URL CLIENTS SECONDS` prints what they met.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import torch

from ser_engine.analyzer import Analyzer
from ser_engine.settings import PROJECT, Settings
from tests.speech import SENTENCES, VOICES, speech_wav

CLIENTS, MANY = 8, 64
LOAD_S, MANY_S = 60.0, 120.0
ALONE = 20
START_S, PATIENCE_S = 120.0, 300.0
LONGEST_PAUSE_S = 5.0
CLIPS = [speech_wav(text, voice) for text in SENTENCES for voice in VOICES]


def measure(
    load_s: float = LOAD_S,
    many_s: float = MANY_S,
    alone: int = ALONE,
    many: int = MANY,
    environ: dict[str, str] | None = None,
    analyzer: Analyzer | None = None,
) -> dict[str, Any]:
    """Return the figures of the service with the bundled model, or the one of `environ`.

    `serve_p95_ratio` is the 95th percentile of a request of 8 clients over the median of one client's, times 8, divided
    by the cores. `serve_together_processor_s` is what `together` returns.
    `serve_errors` counts what 64 clients get in place of an answer, other than 503 with Retry-After.
    """
    cores = len(os.sched_getaffinity(0))
    with _service(environ or {}) as url:
        single = _load(url, 1, 0.0, alone)["seconds"][1:]  # the first also opens the connection
        several = _load(url, CLIENTS, load_s)
        most = _load(url, many, many_s)
    median, p95 = float(np.median(single)), float(np.percentile(several["seconds"], 95))
    return {
        "serve_together_processor_s": together(analyzer),
        "serve_single_p50": round(median, 3),
        "serve_p95": round(p95, 3),
        "serve_p95_ratio": round(p95 / (median * CLIENTS / cores), 2),
        "serve_answers_per_s": round(len(several["seconds"]) / several["lasted_s"], 2),
        "serve_errors": sum(most["errors"].values()),
        "serve_load": {
            "clients": many,
            "seconds": round(most["lasted_s"], 1),
            "answers": len(most["seconds"]),
            "busy": most["busy"],
            "errors": most["errors"],
        },
    }


def together(analyzer: Analyzer | None = None, sizes: Sequence[int] = (1, 2, 4, 8)) -> dict[str, float]:
    """Return the processor seconds of eight recordings, one by one and so many together, on one thread."""
    analyzer = analyzer or Analyzer(Settings())
    analyzer.warm_up()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = {}
    for size in sizes:
        begun = time.process_time()
        for first in range(0, len(CLIPS), size):
            analyzer.analyze_batch(CLIPS[first : first + size])
        seconds[str(size)] = round(time.process_time() - begun, 2)
    torch.set_num_threads(threads)
    return seconds


@contextmanager
def _service(environ: dict[str, str]) -> Iterator[str]:
    """Run `ser serve` and yield where it is, once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ser_engine", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The service did not start.")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _load(url: str, clients: int, seconds: float, least: int = 1) -> dict[str, Any]:
    """Let clients in a second process ask for so long, each at least so often; return what they met."""
    command = [sys.executable, "-m", "benchmarks.service", url, str(clients), str(seconds), str(least)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    met: dict[str, Any] = json.loads(done.stdout)
    return met


def ask(url: str, clients: int, seconds: float, least: int) -> dict[str, Any]:
    """Ask with several clients at once, each with one request at a time; return seconds of answers, and errors."""
    begun = time.monotonic()
    met: Counter[str] = Counter()
    times: list[float] = []

    def work(number: int) -> None:
        asked = 0
        with httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
            while asked < least or time.monotonic() - begun < seconds:
                asked += 1
                sent = time.monotonic()
                try:
                    answer = http.post("/v1/analyze", content=CLIPS[(number + asked) % len(CLIPS)])
                except httpx2.HTTPError as error:
                    met[type(error).__name__] += 1
                    continue
                pause = answer.headers.get("Retry-After", "")
                if answer.status_code == 200:
                    times.append(time.monotonic() - sent)
                elif answer.status_code == 503 and pause.isdecimal():
                    met["busy"] += 1
                    time.sleep(min(float(pause), LONGEST_PAUSE_S))
                else:
                    met[str(answer.status_code)] += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    busy = met.pop("busy", 0)
    return {"seconds": times, "busy": busy, "errors": dict(met), "lasted_s": time.monotonic() - begun}


if __name__ == "__main__":
    where, *numbers = sys.argv[1:]
    print(json.dumps(ask(where, int(numbers[0]), float(numbers[1]), int(numbers[2]))))
