"""Models by onnxruntime give the scores of torch, from the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.onnx_graph import Weights, graph_shapes, open_graph
from ser_engine.models.registry import find_model, load_answering_model, load_model
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.models.text_onnx import OnnxTextEmotion
from ser_engine.models.whisper_onnx import OnnxHeads, OnnxTuned
from ser_engine.types import CleanSpeech, Quality, Span
from tests.speech import RATE, speech
from tools.export_graphs import GRAPHS, graphs


def clip(text: str, seconds: float | None = None) -> CleanSpeech:
    samples = speech(text).astype(np.float32)
    samples = samples if seconds is None else np.resize(samples, round(seconds * RATE))
    length = len(samples) / RATE
    quality = Quality(length, length, RATE, 8000.0, None, 0.0, -26.0, False)
    return CleanSpeech(samples, (Span(0.0, length),), quality)


@pytest.mark.parametrize("name", ["whisper-base-tuned", "voice-open"])
def test_a_model_of_voices_scores_as_by_torch(settings: Settings, name: str) -> None:
    folder = find_model(replace(settings, model=name))
    fast, reference = load_answering_model(folder, settings), load_model(folder, settings)
    assert isinstance(fast, OnnxTuned | OnnxHeads) and not isinstance(reference, OnnxTuned | OnnxHeads)
    assert (fast.id, fast.labels, fast.threshold) == (reference.id, reference.labels, reference.threshold)
    assert fast.card == reference.card and fast.can_calibrate == reference.can_calibrate
    # One of an odd number of frames, two of one length, one longer than the encoder's positions.
    batch = [clip("Kids are talking by the door.", s) for s in (1.03, 2.0, 2.0, 31.0)]
    for one, other in zip(fast.predict(batch), reference.predict(batch), strict=True):
        assert one.scores.probabilities == pytest.approx(other.scores.probabilities, abs=1e-4)


def test_a_baseline_counts_as_by_torch(settings: Settings) -> None:
    folder = find_model(replace(settings, model="voice-open"))
    fast, reference = load_answering_model(folder, settings), load_model(folder, settings)
    calm = clip("I wonder what this is about.", 16.0)
    baseline, other = fast.calibrate(calm), reference.calibrate(calm)
    assert baseline is not None and other is not None and fast.accepts(other)
    assert baseline.mean == pytest.approx(other.mean, abs=1e-2) and baseline.speech_s == other.speech_s
    said = replace(clip("Dogs are sitting by the door."), baseline=other)
    (one,), (same,), (without,) = (
        fast.predict([said]),
        reference.predict([said]),
        fast.predict([replace(said, baseline=None)]),
    )
    assert one.scores.probabilities == pytest.approx(same.scores.probabilities, abs=1e-4)
    assert np.abs(one.scores.probabilities - without.scores.probabilities).max() > 1e-3


def test_texts_score_as_by_torch(settings: Settings) -> None:
    folder = settings.models_dir / "goemotions-minilm"
    fast, reference = OnnxTextEmotion.load(folder, settings), TextEmotion.load(folder, settings)
    texts = ["I am so happy!", "", "Ünïcödé, naïve 日本語 text…", "He died. " * 90, "word " * 200, "a"]
    assert fast.lengths(texts) == reference.lengths(texts)
    assert fast.logits(texts) == pytest.approx(reference.logits(texts), abs=1e-4)
    for one, other in zip(fast.predict([*texts, None]), reference.predict([*texts, None]), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        assert one.margins == pytest.approx(other.margins, abs=1e-3)
    assert (fast.card, fast.languages, fast.tokens) == (reference.card, reference.languages, reference.tokens)


def test_the_settings_choose(settings: Settings) -> None:
    folder = find_model(settings)
    fast = load_answering_model(folder, settings)
    torch = load_answering_model(folder, replace(settings, engine="torch"))
    assert type(fast.audio).__name__ == "OnnxTuned" and type(torch.audio).__name__ == "WhisperTuned"  # type: ignore[attr-defined]


def test_damaged_and_unfit_weights_are_named(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "whisper-base"
    shutil.copytree(settings.models_dir / "goemotions-minilm", folder)
    with pytest.raises(WeightsUnavailable, match="do not fit the graph voice_encoder"):
        open_graph("voice_encoder", Weights(folder), 1)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="damaged"):
        Weights(folder)


def test_the_graphs_are_those_that_the_tool_writes(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    import onnx

    names = set()
    for graph in graphs():
        graph.write(tmp_path)
        names.add(graph.name)
        written: Any = onnx.load(tmp_path / f"{graph.name}.onnx", load_external_data=False)
        assert written == onnx.load(GRAPHS / f"{graph.name}.onnx", load_external_data=False)
        assert (tmp_path / f"{graph.name}.json").read_bytes() == (GRAPHS / f"{graph.name}.json").read_bytes()
        assert graph_shapes(graph.name)
    assert {file.stem for file in GRAPHS.iterdir()} == names
