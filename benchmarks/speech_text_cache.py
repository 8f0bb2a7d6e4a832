"""Training from frozen encoders: their states computed once and kept on disk, against computing them in every epoch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import speech_text_model
from benchmarks.speech_text_model import LABELS, Built
from ser_engine.data.pooled_states import pool_speech_states
from ser_engine.data.preprocess import FULL_SCALE
from ser_engine.io import write_array
from ser_engine.models.speech_text import SpeechText, text_states
from ser_engine.settings import Settings
from ser_engine.training.state import RunState
from ser_engine.training.system import Task
from ser_engine.training.transformers_trainer import Examples, SpeechTextTraining, fine_tune

CLIPS, EPOCHS = 24, 6  # epochs as in paper-1, table 7


@dataclass(frozen=True)
class Prepared:
    """Clips as the training has them: files of samples, their words, and a class of each."""

    files: Sequence[Path]
    words: Sequence[str]
    labels: NDArray[np.int_]


def measure(built: Built, clips: int = CLIPS, epochs: int = EPOCHS) -> dict[str, Any]:
    """Return `frozen_cache_speedup`, with the seconds of both ways and how many clips each gave to the speech encoder.

    The way with states on disk begins with none: its seconds hold the one pass that fills the disk.
    """
    config = SpeechTextTraining(id="bench", system="speech-text", corpora=("ravdess",), speech="bench", epochs=epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare(clips, folder)
        kept, heard_once = _train(built, prepared, config, folder, keeps=True)
        each_time, heard_often = _train(built, prepared, config, folder, keeps=False)
    return {
        "frozen_cache_speedup": round(each_time / kept, 2),
        "frozen_cache_seconds": {"kept": round(kept, 2), "each_time": round(each_time, 2)},
        "frozen_cache_clips_heard": {"kept": heard_once, "each_time": heard_often},
        "frozen_cache_of": {"clips": clips, "epochs": epochs},
    }


def prepare(count: int, folder: Path) -> Prepared:
    """Write clips as `training.hear` does: 16-bit samples."""
    voices, words = speech_text_model.clips(count, seed=1)
    files = [folder / "samples" / f"{number:04}.npy" for number in range(count)]
    (folder / "samples").mkdir()
    for file, voice in zip(files, voices, strict=True):
        write_array(file, np.round(np.clip(voice.samples, -1, 1) * FULL_SCALE).astype(np.int16))
    return Prepared(files, [said.text for said in words], np.arange(count) % len(LABELS))


def _train(
    built: Built, prepared: Prepared, config: SpeechTextTraining, folder: Path, keeps: bool
) -> tuple[float, int]:
    """Return the seconds from loaded models to the end of training, and the number of clips that were encoded."""
    model = SpeechText.load(built.frozen, Settings())
    network, encoded = model.network, 0

    def count(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal encoded
        encoded += len(inputs[0])

    assert network.speech is not None
    network.speech.register_forward_pre_hook(count)
    begun = time.perf_counter()
    examples = Examples(prepared.labels, prepared.files, prepared.words)
    if keeps:
        settings = replace(Settings(), cache=folder / "cache")
        speech = pool_speech_states(network, model.processor, prepared.files, settings)
        text = text_states(network, model.processor, prepared.words)
        assert text is not None
        examples = replace(examples, speech=speech, text=text.numpy())
    everything = np.arange(len(prepared.labels))
    state = RunState(folder / ("kept" if keeps else "each-time"))
    task = Task(everything, everything[:0], "all", 0, state)
    fine_tune(network, model.processor, examples, None, config, task)
    return time.perf_counter() - begun, encoded
