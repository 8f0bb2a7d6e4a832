"""Markdown tables of docs/service.md: the figures of `python -m benchmarks.bench service`, and the service's limits."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ser_engine.service.config import PREFIX, ServiceSettings
from ser_engine.service.problems import KINDS
from ser_engine.settings import variable
from tools.markdown import table

BENCH = Path(__file__).resolve().parent.parent / "results" / "bench.json"


def figures() -> str:
    """Return the figures of the service under load; a sentence where they were not measured."""
    bench: dict[str, Any] = json.loads(BENCH.read_text(encoding="utf-8"))
    if "serve_p95_ratio" not in bench:
        return "Not measured yet: `python -m benchmarks.bench service`."
    cores, load = bench["machine"]["cores"], bench["serve_load"]
    seconds = bench["serve_together_processor_s"]
    rows = [
        ["a recording of some 3 s, one client, median", f"{bench['serve_single_p50']:.2f} s"],
        ["8 clients, 95th percentile", f"{bench['serve_p95']:.2f} s"],
        [f"that over the median of one client × 8 / {cores} cores", f"{bench['serve_p95_ratio']:.2f}"],
        ["answers a second, 8 clients", f"{bench['serve_answers_per_s']:.2f}"],
        [f"errors, {load['clients']} clients for {load['seconds']:.0f} s", f"{bench['serve_errors']}"],
        ["answers, and 503 with Retry-After, meanwhile", f"{load['answers']:,}, {load['busy']:,}"],
        *(
            [f"processor seconds of 8 recordings, {'one by one' if size == '1' else f'{size} together'}", f"{took:.1f}"]
            for size, took in seconds.items()
        ),
    ]
    return table([f"on {cores} cores, without a GPU", ""], rows)


def settings() -> str:
    """Return the service's settings with their defaults."""
    documented = (ServiceSettings.__doc__ or "").partition("----------\n")[2]
    described: dict[str, str] = {}
    names: list[str] = []
    for line in documented.splitlines():
        head, colon, text = line.strip().partition(" : ")
        if colon:
            names = head.split(", ")
            described |= dict.fromkeys(names, text)
        elif line.strip():
            described |= {name: f"{described[name]} {line.strip()}" for name in names}
    rows = []
    for item in fields(ServiceSettings):
        default = (
            "–" if item.default == "" else f"{item.default:g}" if isinstance(item.default, float) else item.default
        )
        rows.append([f"`{variable(PREFIX + item.name)}`", str(default), described[item.name]])
    return table(["setting", "default", "meaning"], rows)


def problems() -> str:
    """Return the kinds of errors with their statuses."""
    return table(["status", "type", "meaning"], [[str(k[0]), f"`urn:ser:{name}`", k[1]] for name, k in KINDS.items()])
