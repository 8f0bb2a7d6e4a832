"""Where torch computes. There is no GPU here: torch's meta device, which has shapes and no numbers, stands for one.

It refuses, as a GPU does, to compute with what was left on the processor.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Analyzer, Settings
from ser_engine.batch import local
from ser_engine.errors import InvalidSettings
from ser_engine.models import device as devices
from ser_engine.models import whisper
from ser_engine.models.device import autocast, choose_device, precision
from ser_engine.models.hub import HubModel
from ser_engine.models.registry import load_answering_model
from ser_engine.models.speech_text import SpeechText
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.models.whisper_heads import WhisperHeads
from ser_engine.transcription.recognizer import TorchWhisper
from ser_engine.transcription.transcriber import WINDOW, load_transcriber
from ser_engine.types import Transcript
from tests.speech import RATE, speech, taken_for_speech
from tests.tiny_models import write_foreign, write_words

pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch say that there are two GPUs with bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Let every choice be the meta device, from which copies to the processor are zeros; return their shapes."""
    copied: list[torch.Size] = []
    to_cpu = torch.Tensor.cpu

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_meta:
            return to_cpu(tensor)
        copied.append(tensor.shape)
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(torch.Tensor, "cpu", copy)
    for module in ("device", "hub", "speech_text", "text_emotion"):
        monkeypatch.setattr(f"ser_engine.models.{module}.choose_device", lambda settings: torch.device("meta"))
    return copied


def test_a_gpu_is_used_where_there_is_one_or_where_it_is_named(gpu: None, settings: Settings) -> None:
    assert choose_device(settings) == choose_device(replace(settings, device="cuda")) == CUDA
    assert choose_device(replace(settings, device="cpu")) == CPU


def test_without_a_gpu_everything_is_as_it_was(settings: Settings) -> None:
    assert choose_device(settings) == CPU and precision(CPU) is torch.float32
    with autocast(CPU):
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype is torch.float32
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(settings: Settings, name: Any) -> None:
    named = replace(settings, device=name)
    with pytest.raises(InvalidSettings, match=f"SER_DEVICE is {name}, but "):
        Analyzer(named).calibrate(speech(), RATE)
    with pytest.raises(InvalidSettings, match=f"SER_DEVICE is {name}, but "):
        load_transcriber(named)
    with pytest.raises(InvalidSettings, match="SER_DEVICE is auto or cpu or cuda or mps, not “gpu”"):
        Settings.from_env({"SER_DEVICE": "gpu"})


def test_the_precision_is_that_of_the_gpu(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision(CUDA) is torch.bfloat16 and precision(torch.device("mps")) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert precision(CUDA) is torch.float16


def test_onnxruntime_computes_unless_a_gpu_is_named(settings: Settings) -> None:
    assert settings.uses_onnx and replace(settings, device="cpu").uses_onnx
    assert not replace(settings, device="cuda").uses_onnx and not replace(settings, device="mps").uses_onnx
    assert not replace(settings, engine="torch").uses_onnx


def test_a_model_of_the_hub_computes_on_the_device(
    pretended: list[torch.Size], settings: Settings, tmp_path: Path
) -> None:
    write_foreign(tmp_path / "foreign")
    model = HubModel.load(tmp_path / "foreign", settings)
    assert model.device == "meta"
    model.predict([taken_for_speech(speech())])
    assert pretended == [(1, len(model.labels))]


def test_a_model_of_speech_and_text_computes_on_the_device(
    pretended: list[torch.Size], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_words(tmp_path)
    model = SpeechText.load(tmp_path / "tiny-words", replace(settings, models_dir=tmp_path))
    assert model.device == "meta"
    given: list[bool] = []

    def encode(**inputs: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Stand for the encoders, which count what is padded, and so need numbers."""
        given.extend(tensor.is_meta for tensor in inputs.values())
        speech, text = (
            torch.zeros(1, *shape, device="meta")
            for shape in ((1, model.network.widths[0]), (model.network.widths[-1],))
        )
        return (speech, None) if "input_values" in inputs else (None, text)

    monkeypatch.setattr(model.network, "encode", encode)
    model.predict([taken_for_speech(speech())], [Transcript("some words", "en", (), 1.0, "none")])
    assert given and all(given)
    assert pretended[-1] == (1, len(model.labels))


def test_texts_are_computed_on_the_device(
    pretended: list[torch.Size], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TextEmotion.load(settings.models_dir / "goemotions-minilm", settings)

    def forward(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Stand for the encoder, which looks at the mask's numbers."""
        assert ids.is_meta and mask.is_meta and model.network.classifier.weight.is_meta
        return model.network.classifier(torch.zeros(len(ids), 384, device="meta"))

    monkeypatch.setattr(model.network, "forward", forward)
    model.predict(["I am so happy!"])
    assert pretended == [(1, len(model.labels))]


@pytest.mark.parametrize("name", ["whisper-base-tuned", "voice-open"])
def test_a_model_on_the_encoder_computes_on_the_device(
    pretended: list[torch.Size], settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(whisper, "_SHARED", {})
    model = load_answering_model(settings.models_dir / name, replace(settings, engine="torch"))
    assert model.device == "meta"
    model.predict([taken_for_speech(speech())])
    assert pretended[0][1] == 5 and pretended[-1] == (1, len(model.labels))  # states, and in the end probabilities


def test_whisper_encodes_and_detects_on_the_device(
    pretended: list[torch.Size], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "_SHARED", {})
    model = whisper.load_whisper(settings)
    assert model.device.type == "meta" and model.alignment_heads.device == CPU
    recognizer = TorchWhisper(model, WINDOW)
    states = recognizer.encode([np.zeros(2 * WINDOW * 160, np.float32)])
    assert states[0].is_meta
    recognizer.detect(states)
    recognizer.detect_stretches([np.zeros(RATE, np.float32)])
    assert pretended == [(1, 99), (1, 99)]


def test_whisper_computes_in_half_precision_with_cuda(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    model = whisper.load_whisper(replace(settings, engine="torch"))
    monkeypatch.setattr(type(model), "device", property(lambda self: CUDA))
    assert TorchWhisper(model, WINDOW)._half
    monkeypatch.setattr(type(model), "device", property(lambda self: CPU))
    assert not TorchWhisper(model, WINDOW)._half


def test_alignment_on_a_mac_is_computed_by_a_copy_on_the_processor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = whisper.load_whisper(settings)
    shared = TorchWhisper(model, WINDOW)._aligner.decoder.token_embedding.weight
    assert shared is model.decoder.token_embedding.weight
    monkeypatch.setattr(type(model), "device", property(lambda self: torch.device("mps")))
    copied = TorchWhisper(model, WINDOW)._aligner.decoder.token_embedding.weight
    assert copied is not shared and torch.equal(copied, shared)


def test_heads_follow_their_encoder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_SHARED", {})
    monkeypatch.setattr(devices, "choose_device", lambda settings: torch.device("meta"))
    model = WhisperHeads.load(settings.models_dir / "voice-open", settings)
    assert all(parameter.is_meta for member in model.members for parameter in member.parameters())


# --- Batches --------------------------------------------------------------------------------------------------------


class Started:
    """Stands for a worker process: what it was given."""

    def __init__(self, settings: Settings, events: Any, log: Path | None, gpu: str = "") -> None:
        self.settings, self.gpu = settings, gpu


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Started]]:
    """Return a function that starts the workers of a pool."""
    monkeypatch.setattr(local, "Worker", Started)

    def started(settings: Settings, workers: int = 0) -> list[Any]:
        pool = local.Pool(settings, workers)
        pool._start()
        return pool._workers

    return started


def test_each_gpu_has_a_worker(
    gpu: None, start: Callable[..., list[Started]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(local.VISIBLE, raising=False)
    named = replace(settings, device="cuda")
    assert [worker.gpu for worker in start(named)] == ["0", "1"]
    assert [worker.gpu for worker in start(named, 3)] == ["0", "1", "0"]
    monkeypatch.setenv(local.VISIBLE, "GPU-a,GPU-b")
    assert [worker.gpu for worker in start(named)] == ["GPU-a", "GPU-b"]


def test_workers_compute_on_the_cores_unless_a_gpu_is_named(
    gpu: None, start: Callable[..., list[Started]], settings: Settings
) -> None:
    workers = start(settings, 2)
    assert [(worker.gpu, worker.settings.device) for worker in workers] == [("", "cpu")] * 2


def test_workers_without_the_gpu_that_is_named_are_refused(settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match="torch finds no GPU"):
        local.Pool(replace(settings, device="cuda"))


def test_a_worker_sees_its_gpu_alone(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    seen: list[Any] = []

    def popen(*args: Any, **options: Any) -> Any:
        seen.append(options["env"].get(local.VISIBLE))
        raise RuntimeError

    monkeypatch.setattr(local.subprocess, "Popen", popen)
    monkeypatch.setenv(local.VISIBLE, "5,7")
    for gpu in ("7", ""):
        with pytest.raises(RuntimeError):
            local.Worker(settings, local.queue.Queue(), None, gpu)
    assert seen == ["7", os.environ[local.VISIBLE]]
