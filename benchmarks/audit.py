"""Time and memory for auditing and splitting a manifest of 100,000 rows."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.data import manifest, splits
from ser_engine.data.audit import audit
from ser_engine.data.audit_rows import read_table
from ser_engine.data.corpora.base import Utterance
from ser_engine.labels import EMOTIONS
from ser_engine.settings import PROJECT

ROWS = 100_000
CORPORA, SPEAKERS, SENTENCES, FOLDS = 4, 50, 200, 5
# One clip in IDENTICAL has the content of another; one in COPIED is an augmented copy of the clip before it.
IDENTICAL, COPIED = 1000, 10


def measure(rows: int = ROWS) -> dict[str, Any]:
    """Return wall and processor seconds and peak memory in MB, measured in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.csv"
        manifest.write_manifest(generate_rows(rows), path)
        command = [sys.executable, "-m", "benchmarks.audit", str(path)]
        done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def generate_rows(rows: int) -> Iterator[manifest.Row]:
    """Yield rows of four corpora with 50 speakers and 200 sentences each, in random folds that share them all."""
    rng = np.random.default_rng(0)
    for number in range(rows):
        corpus, speaker, sentence, label = (int(rng.integers(n)) for n in (CORPORA, SPEAKERS, SENTENCES, len(EMOTIONS)))
        copied = number % COPIED == 1
        utterance = Utterance(
            corpus=f"corpus{corpus}",
            path=Path(f"/corpora/corpus{corpus}/{speaker:02}/{number:06}.wav"),
            label=EMOTIONS[label],
            speaker=f"corpus{corpus}/{speaker:02}",
            gender="female" if speaker % 2 else "male",
            sentence=f"Sentence number {sentence}.",
        )
        extra = {
            "fold": int(rng.integers(FOLDS)) + 1,
            "seconds": round(float(rng.uniform(1, 5)), 3),
            "sample_rate": 48_000 if corpus else 16_000,
            "bandwidth_hz": int(rng.integers(5000, 8000)),
            "sha256": hashlib.sha256(str(number - (number % IDENTICAL == 5)).encode()).hexdigest(),
            "augmented_from": f"{number - 1:06}.wav" if copied else "",
        }
        yield manifest.Row(utterance, extra)


def main(path: Path) -> None:
    """Audit a manifest, split it by each protocol that needs nothing else, and print the figures as JSON."""
    begun, computing = time.perf_counter(), time.process_time()
    findings = audit(read_table(path))
    utterances = list(manifest.read_manifest(path))
    labels = [str(utterance.label) for utterance in utterances]
    names = [
        splits.describe_split(protocol.id, utterances, splits.make_folds(protocol.id, utterances, labels))
        for protocol in splits.PROTOCOLS.values()
        if protocol.id not in ("emobox", "authors-split", splits.CROSS_CORPUS) and not protocol.leaky
    ]
    measured = {
        "audit_100k_seconds": round(time.perf_counter() - begun, 1),
        "audit_100k_processor_seconds": round(time.process_time() - computing, 1),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(f"{findings.clips:,} rows, {len(findings.findings)} findings; {'; '.join(names)}", file=sys.stderr)
    print(json.dumps(measured | {"audit_100k_peak_mb": round(peak)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
