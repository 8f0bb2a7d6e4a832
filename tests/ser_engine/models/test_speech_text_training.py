"""Networks of speech and text are trained: what is frozen, adapters, kept states, losses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from ser_engine import Settings
from ser_engine.models.speech_text import SpeechText, speech_states, text_states
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from tests.ser_engine.models.tiny_networks import (
    CLIPS,
    LABELS,
    TEXTS,
    build,
    logits,
)
from tests.speech import taken_for_speech, tone

# --- training


def trained(network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor) -> tuple[set[str], set[str]]:
    """Return which parameters are to be trained, and which got a gradient from one step."""
    network.train()
    network(**processor(CLIPS[:4], TEXTS[:4]), labels=torch.arange(4)).loss.backward()
    wanted = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return wanted, {name for name, parameter in network.named_parameters() if parameter.grad is not None}


STILL = {"layerdrop": 0.0, "mask_time_prob": 0.3}
"""No layer is skipped and something is masked, so that every parameter has a gradient."""


@pytest.mark.parametrize("kind", ["wavlm-large", "whisper"])
def test_freezing_says_what_is_trained(kind: str, here: Settings) -> None:
    overrides = {"encoder_layerdrop": 0.0} if kind == "whisper" else STILL
    found = {}
    for freezing in ("head", "top-1", "convolutions-1", "partial", "entire"):
        network, processor = build(here, kind, freezing=freezing, speech_overrides=overrides)
        found[freezing], got = trained(network, processor)
        assert got == found[freezing]
    head = {"classifier.weight", "classifier.bias"}
    assert found["head"] == head
    top = "speech.encoder.layers.2." if kind == "whisper" else "speech.encoder.encoder.layers.2."
    assert found["top-1"] > head
    assert all(name.startswith((top, "text.encoder.encoder.layer.1.")) for name in found["top-1"] - head)
    last = ".1." if kind == "whisper" else ".conv_layers."
    assert found["convolutions-1"] > head
    assert all(name.startswith("speech.convolutions") and last in name for name in found["convolutions-1"] - head)
    assert len({re.sub(r"\D", "", name) for name in found["convolutions-1"] - head}) == 1  # of one layer
    everything = {name for name, _ in network.named_parameters() if "embed_positions" not in name}
    assert found["entire"] == everything
    assert {name for name in everything if "convolutions" in name} == everything - found["partial"]


def test_frozen_encoders_stay_in_evaluation(here: Settings) -> None:
    network, _ = build(here, "wav2vec2")
    assert network.speech is not None and network.text is not None
    network.train()
    assert network.training and network.dropout.training
    assert not network.speech.encoder.encoder.training and not network.text.encoder.training
    network.freeze("entire")
    assert network.speech.encoder.encoder.training and network.text.encoder.training


def test_gradient_checkpointing_changes_no_gradient(here: Settings) -> None:
    gradients = []
    for checkpointing in (False, True):
        network, processor = build(here, freezing="entire")
        if checkpointing:
            network.gradient_checkpointing_enable()
        network.eval()
        network(**processor(CLIPS[:3], TEXTS[:3]), labels=torch.arange(3)).loss.backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert set(gradients[0]) == set(gradients[1])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize("kind", ["hubert", "wavlm", "whisper"])
def test_lora_trains_little_and_is_saved_alone(kind: str, here: Settings, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="LoRA needs the package peft")
    overrides = {"encoder_layerdrop": 0.0} if kind == "whisper" else {"layerdrop": 0.0}
    network, processor = build(here, kind, lora={"r": 2, "alpha": 4}, speech_overrides=overrides)
    before = logits((network, processor), CLIPS, TEXTS)
    torch.testing.assert_close(before, logits(build(here, kind), CLIPS, TEXTS))  # adapters begin as nothing
    wanted, got = trained(network, processor)
    assert got == wanted and all("lora_" in name or name.startswith("classifier") for name in wanted)
    assert any(name.startswith("speech") for name in wanted) and any(name.startswith("text") for name in wanted)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
                assert name in got
    network.eval()
    after = logits((network, processor), CLIPS, TEXTS)
    plain = build(here, kind)
    # In both encoders the adapters change the states.
    by_speech = speech_states(network, processor, CLIPS[:1]) - speech_states(*plain, CLIPS[:1])  # type: ignore[operator]
    by_text = text_states(network, processor, ["dogs"]) - text_states(*plain, ["dogs"])  # type: ignore[operator]
    assert by_speech.abs().max() > 1e-3 and by_text.abs().max() > 1e-3
    network.save_pretrained(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == wanted
    again = SpeechTextForSequenceClassification.from_pretrained(tmp_path, settings=here)
    torch.testing.assert_close(logits((again, processor), CLIPS, TEXTS), after)


SIXTEEN = [tone(0.3 + 0.02 * (row % 3), 120.0 * (1 + row)) for row in range(16)]
CLASSES = torch.arange(16) % 4


@pytest.mark.parametrize(
    ("kind", "freezing", "rate"),
    [("hubert", "head", 0.05), ("wav2vec2", "entire", 0.003), ("wavlm", "top-2", 0.01)],
)
def test_sixteen_clips_are_learned_by_heart(kind: str, freezing: str, rate: float, here: Settings) -> None:
    overrides = {"encoder_layerdrop": 0.0} if kind == "whisper" else {"layerdrop": 0.0, "mask_time_prob": 0.0}
    options: dict[str, Any] = {"freezing": freezing, "speech_overrides": overrides, "head_dropout": 0.0}
    network, processor = build(
        here, kind, None, layers="weighted" if freezing == "head" else "last", head="two-layer", **options
    )
    inputs = processor(SIXTEEN)
    if freezing == "head":  # its states are known once and for all
        inputs = {"speech_states": speech_states(network, processor, SIXTEEN)}  # type: ignore[dict-item]
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=rate)
    torch.manual_seed(0)
    for step in range(400):
        out = network.train()(**inputs, labels=CLASSES)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        if step % 10 == 0 and (network.eval()(**inputs).logits.argmax(dim=1) == CLASSES).all():
            break
    with torch.no_grad():
        assert (network.eval()(**inputs).logits.argmax(dim=1) == CLASSES).all()


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_training_on_kept_states_is_training_on_clips(kind: str, here: Settings) -> None:
    """The same steps with the same seeds end in the same head, with dropout of all sorts."""
    options: dict[str, Any] = {"layers": "weighted", "text_dropout": 0.3, "head_dropout": 0.2}
    ends = []
    for kept in (False, True):
        network, processor = build(here, kind, **options)
        speech, text = speech_states(network, processor, CLIPS), text_states(network, processor, TEXTS)
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.01)
        torch.manual_seed(3)
        network.train()
        for step in range(5):
            rows = [(step + row) % len(CLIPS) for row in range(4)]
            inputs = processor([CLIPS[row] for row in rows], [TEXTS[row] for row in rows])
            if kept:
                assert speech is not None and text is not None
                inputs = {"speech_states": speech[rows], "text_states": text[rows]}
            loss = network(**inputs, labels=torch.tensor(rows) % 4).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append({name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad})
    for name, end in ends[0].items():
        torch.testing.assert_close(ends[1][name], end, atol=1e-5, rtol=0, msg=name)


def test_pooling_leaves_a_network_in_training_in_training(here: Settings) -> None:
    network, processor = build(here, freezing="partial")
    network.train()
    first = speech_states(network, processor, CLIPS[:2])
    assert network.training
    second = speech_states(network, processor, CLIPS[:2])
    assert first is not None and second is not None
    assert torch.equal(first, second)  # no dropout in it
    assert not first.requires_grad


def test_the_loss_takes_classes_and_shares(here: Settings) -> None:
    network, processor = build(here)
    inputs = processor(CLIPS[:3], TEXTS[:3])
    classes = torch.tensor([0, 3, 1])
    out = network(**inputs, labels=classes)
    torch.testing.assert_close(out.loss, functional.cross_entropy(out.logits, classes))
    shares = functional.one_hot(classes, 4).float()
    torch.testing.assert_close(network(**inputs, labels=shares).loss, out.loss)
    assert not network.accepts_loss_kwargs


def test_a_seed_makes_the_same_head(here: Settings) -> None:
    torch.manual_seed(5)
    drawn = torch.get_rng_state()
    first, second, other = (
        SpeechTextForSequenceClassification.from_encoders(LABELS, "hubert", "bert", here, seed).classifier.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_temperature_calibrates_scores_but_not_losses(here: Settings) -> None:
    network, processor = build(here)
    plain = SpeechText("plain", network, processor).predict([taken_for_speech(CLIPS[1])])[0].scores
    warm_network, _ = build(here, score_temperature=4.0)
    warm = SpeechText("warm", warm_network, processor).predict([taken_for_speech(CLIPS[1])])[0].scores
    assert warm.probabilities.max() < plain.probabilities.max() and warm.top == plain.top
    torch.testing.assert_close(
        logits((warm_network, processor), CLIPS[:1], ["a"]), logits((network, processor), CLIPS[:1], ["a"])
    )
