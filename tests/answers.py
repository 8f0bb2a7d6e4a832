"""What the bundled models answer to fixed recordings, so that a change of the code can be shown to change no answer.

    python -m tests.answers write FILE      answer all recordings and write FILE
    python -m tests.answers compare FILE    answer them again and print what differs; exits with 1 if anything does

The recordings are those in tests/data, clips of the corpora in SER_DATA (evenly over each), and for each corpus one
longer recording made of several clips, which has a timeline.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ser_engine import Analyzer, Settings
from ser_engine.errors import SerError
from ser_engine.settings import Engine

DATA = Path(__file__).parent / "data"
ANSWERS = DATA / "answers.json"
CORPORA = ("ased", "crema-d", "emo-db", "emogator", "emovo", "librispeech", "ravdess", "speechocean", "tess")
CLIPS = 10
"""Of each corpus."""
TOLERANCE = 1e-5
"""How far apart probabilities may be."""


def recordings(corpora: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each recording."""
    for file in sorted(DATA.glob("*.ogg")):
        yield file.name, file.read_bytes()
    for corpus in CORPORA if corpora else ():
        files = sorted((corpora / corpus).rglob("*.opus"))
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, CLIPS).round().astype(int)]
        for file in chosen:
            yield file.relative_to(corpora).as_posix(), file.read_bytes()
        yield f"{corpus}/joined", _joined(chosen[:4])


def _joined(files: list[Path]) -> bytes:
    """Return a wav of several clips of one corpus."""
    read = [soundfile.read(file, dtype="float32", always_2d=True) for file in files]
    assert len({rate for _, rate in read}) == 1
    wav = io.BytesIO()
    soundfile.write(
        wav, np.concatenate([samples.mean(axis=1) for samples, _ in read]), read[0][1], "PCM_16", format="WAV"
    )
    return wav.getvalue()


def answer(analyzer: Analyzer, data: bytes) -> dict[str, Any]:
    """Return the answer to one recording, in names that no change of the code renames."""
    try:
        analysis = analyzer.analyze(data, name="recording")
    except SerError as error:
        return {"refused": type(error).__name__}
    return {
        "scores": analysis.scores.to_dict(),
        "modalities": {name: scores.to_dict() for name, scores in analysis.modalities.items()},
        "words": analysis.transcript.text if analysis.transcript else None,
        "language": analysis.transcript.language if analysis.transcript else None,
        "timeline": [
            {"start": window.start, "end": window.end, "scores": window.scores.to_dict()}
            for window in analysis.timeline
        ],
        "quality": analysis.quality.to_dict(),
        "sure": analysis.sure,
    }


def answer_all(corpora: Path | None, engine: Engine = "torch") -> dict[str, dict[str, Any]]:
    """Return {recording: answer}."""
    analyzer = Analyzer(Settings(engine=engine))
    return {name: answer(analyzer, data) for name, data in recordings(corpora)}


def differences(before: Any, after: Any, place: str = "", tolerance: float = TOLERANCE) -> list[str]:
    """Return one line for each place at which two answers differ by more than the tolerance."""
    if isinstance(before, dict) and isinstance(after, dict):
        missing = [f"{place}/{key}: in one of the two alone" for key in before.keys() ^ after.keys()]
        shared = [key for key in before if key in after]
        return missing + [
            line for key in shared for line in differences(before[key], after[key], f"{place}/{key}", tolerance)
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [line for i, (one, other) in pairs for line in differences(one, other, f"{place}/{i}", tolerance)]
    if isinstance(before, float) and isinstance(after, float):
        return [] if abs(before - after) <= tolerance else [f"{place}: {before} and {after}"]
    return [] if before == after else [f"{place}: {before!r} and {after!r}"]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m tests.answers", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    corpora = Path(os.environ["SER_DATA"]) if "SER_DATA" in os.environ else None
    after = answer_all(corpora)
    if options.action == "write":
        options.file.write_text(json.dumps(after, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    before = json.loads(options.file.read_text(encoding="utf-8"))
    known = before if corpora else {name: before[name] for name in after}
    lines = differences(known, after)
    print("\n".join(lines) or f"{len(after)} recordings, no difference.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
