"""Training on frozen encoders: states cached on disk, compared with states computed in every epoch."""

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

CLIPS, EPOCHS = 24, 6  # epochs as in Sharma, table 7


@dataclass(frozen=True)
class Prepared:
    """Training clips: files of samples, words and classes."""

    files: Sequence[Path]
    words: Sequence[str]
    labels: NDArray[np.int_]


def measure(built: Built, clips: int = CLIPS, epochs: int = EPOCHS) -> dict[str, Any]:
    """Return the seconds of both ways, and how many clips the speech encoder processed.

    The cache is empty at first; the pass that fills it is included.
    """
    config = SpeechTextTraining(id="bench", system="speech-text", corpora=("ravdess",), speech="bench", epochs=epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare(clips, folder)
        cached, encoded_once = _train(built, prepared, config, folder, caching=True)
        uncached, encoded_often = _train(built, prepared, config, folder, caching=False)
    return {
        "frozen_cache_speedup": round(uncached / cached, 2),
        "frozen_cache_seconds": {"cached": round(cached, 2), "uncached": round(uncached, 2)},
        "frozen_cache_clips_encoded": {"cached": encoded_once, "uncached": encoded_often},
        "frozen_cache_of": {"clips": clips, "epochs": epochs},
    }


def prepare(count: int, folder: Path) -> Prepared:
    """Write clips as 16-bit samples, as preprocessing does."""
    voices, words = speech_text_model.clips(count, seed=1)
    files = [folder / "samples" / f"{number:04}.npy" for number in range(count)]
    (folder / "samples").mkdir()
    for file, voice in zip(files, voices, strict=True):
        write_array(file, np.round(np.clip(voice.samples, -1, 1) * FULL_SCALE).astype(np.int16))
    return Prepared(files, [said.text for said in words], np.arange(count) % len(LABELS))


def _train(
    built: Built, prepared: Prepared, config: SpeechTextTraining, folder: Path, caching: bool
) -> tuple[float, int]:
    """Return the seconds of training with loaded models, and how many clips the speech encoder processed."""
    model = SpeechText.load(built.frozen, Settings())
    network, encoded = model.network, 0

    def count(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal encoded
        encoded += len(inputs[0])

    assert network.speech is not None
    network.speech.register_forward_pre_hook(count)
    begun = time.perf_counter()
    examples = Examples(prepared.labels, prepared.files, prepared.words)
    if caching:
        settings = replace(Settings(), cache=folder / "cache")
        speech = pool_speech_states(network, model.processor, prepared.files, settings)
        text = text_states(network, model.processor, prepared.words)
        assert text is not None
        examples = replace(examples, speech=speech, text=text.numpy())
    everything = np.arange(len(prepared.labels))
    state = RunState(folder / ("cached" if caching else "uncached"))
    task = Task(everything, everything[:0], "all", 0, state)
    fine_tune(network, model.processor, examples, None, config, task)
    return time.perf_counter() - begun, encoded
