"""Results of jobs that nobody has to compute: rows as workers return them, written as jobs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.batch.output import Output
from ser_engine.batch.plan import Plan
from ser_engine.batch.rows import Outcome
from ser_engine.batch.sources import Item
from ser_engine.labels import EMOTIONS

SENTENCES = ("I have been waiting for an hour.", "Thank you, that was quick.", "Could you repeat that, please?")
BEGUN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def plan_of(out: Path, columns: tuple[str, ...] = ("team",)) -> Plan:
    """Return a plan whose models nobody has."""
    return Plan(
        (str(out.parent),), {"model": "", "transcribe": True}, EMOTIONS, columns, {"a-model": "0" * 64}, {"python": "3"}
    )


def outcome(number: int, file: str = "", sentence: str = "", **changes: Any) -> Outcome:
    """Return the outcome of a call of two people; every 17th has no speech, every 31st is damaged."""
    rng = np.random.default_rng(number)
    file = file or f"/calls/{number:04}.wav"
    moment = BEGUN + timedelta(days=number % 12, minutes=float(rng.uniform(0, 600)))
    row: dict[str, Any] = {
        "file": file,
        "size_bytes": 1000 + number,
        "modified": round(moment.timestamp() * 1e6),
        "etag": None,
        "analyzed": moment,
        "extra": {"team": ("sales", "support")[number % 2]},
    }
    if number % 17 == 16:
        return Outcome(file, row | {"error_kind": "NoSpeech", "error": "No speech was found."} | changes)
    if number % 31 == 30:
        return Outcome(file, row | {"error_kind": "InvalidAudio", "error": "It is damaged."} | changes)
    seconds = float(rng.uniform(60, 400))
    segments = []
    for each, start in enumerate(np.arange(1, seconds - 5, 8)):
        text = sentence or SENTENCES[int(rng.integers(len(SENTENCES)))]
        side = each % 2
        segments.append(
            {
                "file": file, "number": each, "start_s": float(start), "end_s": float(start) + 4, "channel": side + 1,
                "speaker": ("agent", "customer")[side], "text": text, "language": "en", **scores(rng, start / seconds),
            }
        )  # fmt: skip
    answer = {
        "sha256": f"{number:064x}", **scores(rng, 0.5), "transcript": " ".join(each["text"] for each in segments),
        "language": "en", "languages": ["en"], "duration_s": seconds, "speech_s": seconds / 2,
        "sample_rate": 8000, "snr_db": 20.0, "warnings": ["The recording is clipped."] if number % 9 == 0 else [],
        "speakers": [
            {"name": "agent", "channel": 1, "share": 0.6, **scores(rng, 0.1)},
            {"name": "customer", "channel": 2, "share": 0.4, **scores(rng, 0.8)},
        ],
    }  # fmt: skip
    return Outcome(file, row | answer | changes, tuple(segments), seconds)


def scores(rng: np.random.Generator, anger: float) -> dict[str, Any]:
    """Return random probabilities, in which anger grows."""
    weights = rng.dirichlet(np.array([4, 2, 1, 0.5, 0.3 + 2 * anger, 0.3, 0.3, 0.3]))
    top = int(weights.argmax())
    return {
        "label": EMOTIONS[top],
        "confidence": float(weights[top]),
        "sure": bool(weights[top] > 0.45),
        "probabilities": dict(zip(EMOTIONS, weights.tolist(), strict=True)),
    }


def write_archive(out: Path, *outcomes: Outcome, columns: tuple[str, ...] = ("team",)) -> Path:
    """Write the results of a job and return their folder."""
    with Output(out, plan_of(out, columns)) as output:
        for each in outcomes:
            output.add(each)
        output.commit()
    return out


def commit_rows(out: Path, count: int, every: int = 3) -> None:
    """Give each of so many recordings a row, unless it has one, in small parts; what a test kills meanwhile."""
    with Output(out, plan_of(out), resume=True) as output:
        for number in range(count):
            made = outcome(number)
            if not output.has(Item(made.file)):
                output.add(made)
            if number % every == every - 1:
                output.commit()
        output.commit()
