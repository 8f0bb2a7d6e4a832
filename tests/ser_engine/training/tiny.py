"""A tiny corpus of generated speech, and experiments on it that take seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soxr

from ser_engine import Settings
from ser_engine.evaluation.record import RunRecord
from ser_engine.training.runner import run_experiment
from tests.speech import RATE, encode, silence, speech, tone

# Of three of the published folds; each actor speaks both sentences in three "emotions", which are speeds of the tape.
ACTORS = {"01": ("man", 1.0), "04": ("woman", 1.0), "08": ("woman", 0.97)}
EMOTIONS = {"01": 1.0, "03": 1.3, "04": 0.75}
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
LABELS = ("neutral", "happy", "sad")
SILENT = "03-01-04-01-02-02-04"
STATISTICS = """
id = "tiny"
system = "whisper-statistics"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
external = ["emodb"]
degradations = ["telephone", "babble"]
save = true
members = 2
mixtures = 2
hidden = 16
epochs = 12
batch = 8
learning_rate = 5e-3
mixup = 0.2
attentive = 1
projection = 32
attentive_batch = 8
"""


def write_corpora(data: Path) -> None:
    """Write 18 clips in the manner of RAVDESS, one more without speech, and three in the manner of EMO-DB."""
    (data / "ravdess").mkdir(parents=True)
    (data / "emodb").mkdir()
    for actor, (voice, speed) in ACTORS.items():
        for emotion, pace in EMOTIONS.items():
            for statement, text in SENTENCES.items():
                samples = soxr.resample(speech(text, voice), RATE * pace * speed, RATE)
                (data / "ravdess" / f"03-01-{emotion}-01-{statement}-01-{actor}.wav").write_bytes(encode(samples))
    (data / "ravdess" / f"{SILENT}.wav").write_bytes(encode(tone(2.0)))
    (data / "emodb" / "03a01Nc.wav").write_bytes(encode(speech("It is eleven o'clock.")))
    (data / "emodb" / "08a01Ta.wav").write_bytes(encode(soxr.resample(speech(voice="woman"), RATE * 0.75, RATE)))
    (data / "emodb" / "08a01Lb.wav").write_bytes(encode(silence(1.0)))  # bored, which is none of our labels


@dataclass(frozen=True)
class Bench:
    """A folder with corpora, configurations, models, caches and results."""

    folder: Path
    settings: Settings

    @property
    def data(self) -> Path:
        """The corpora."""
        return self.folder / "data"

    @property
    def results(self) -> Path:
        """The records."""
        return self.folder / "results"

    def write(self, name: str, toml: str) -> Path:
        """Write configs/test/<name>.toml."""
        path = self.folder / "configs" / "test" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(toml, encoding="utf-8")
        return path

    def run(self, name: str, toml: str, protocol: str = "") -> RunRecord:
        """Run an experiment."""
        return run_experiment(self.write(name, toml), protocol, self.settings)

    def state(self, id: str) -> Path:
        """Return the folder of a run's state."""
        (folder,) = (self.settings.cache / "runs" / id).iterdir()
        return folder

    def history(self, id: str) -> list[dict[str, Any]]:
        """Return the lines of a run's history."""
        return [json.loads(line) for line in (self.results / id / "history.jsonl").read_text("utf-8").splitlines()]


def make_bench(folder: Path, models: Path) -> Bench:
    """Write the corpora and return their bench, with these models."""
    write_corpora(folder / "data")
    return bench_in(folder, replace(Settings(), models_dir=models))


def bench_in(folder: Path, settings: Settings) -> Bench:
    """Return a bench of a folder: its corpora, results and caches, all else by the settings."""
    return Bench(folder, replace(settings, **{name: folder / name for name in ("data", "results", "cache")}))
