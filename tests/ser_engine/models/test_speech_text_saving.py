"""Networks of speech and text are saved small or whole, and what does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.hub import PushToHubMixin

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.speech_text import SpeechText
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.store import sha256
from ser_engine.models.whisper import shared_whisper
from tests.ser_engine.models.tiny_encoders import SPEECH, write_speech
from tests.ser_engine.models.tiny_networks import (
    CLIPS,
    LABELS,
    TEXTS,
    build,
    logits,
    probabilities,
    said,
)
from tests.speech import taken_for_speech

# --- saving and loading


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_frozen_encoders_are_referred_to(kind: str, here: Settings, tmp_path: Path) -> None:
    model = SpeechText("tried", *build(here, kind, layers="weighted", standardized=True), card={"corpora": ["ravdess"]})
    model.save(tmp_path / "m")
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == {
        "classifier.weight", "classifier.bias", "layer_logits",
        *(f"{part}_standard.{name}" for part in ("speech", "text") for name in ("mean", "scale")),
    }  # fmt: skip
    assert (tmp_path / "m" / "model.safetensors").stat().st_size < 4000
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    assert (config["id"], config["architecture"], config["labels"]) == ("tried", "speech-text", list(LABELS))
    assert config["speech_source"]["id"] == kind and len(config["speech_source"]["sha256"]) == 64
    assert {"model.safetensors", "tokenizer.json", "preprocessor_config.json"} <= set(config["weights"])
    again = SpeechText.load(tmp_path / "m", here)
    assert (again.id, again.labels, again.card) == ("tried", LABELS, {"corpora": ["ravdess"]})
    batch, words = [taken_for_speech(clip) for clip in CLIPS], [said(text or "") for text in TEXTS]
    np.testing.assert_array_equal(
        probabilities(again.predict(batch, words)), probabilities(model.predict(batch, words))
    )
    again.save(tmp_path / "twice")
    for file in (tmp_path / "m").iterdir():
        assert file.read_bytes() == (tmp_path / "twice" / file.name).read_bytes()
    assert not [path for path in (tmp_path / "twice").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", SPEECH)
def test_what_was_fine_tuned_is_saved_whole(kind: str, here: Settings, tmp_path: Path) -> None:
    pair = build(here, kind, freezing="entire")
    with torch.no_grad():
        for parameter in pair[0].parameters():
            parameter.add_(0.01)
    pair[0].save_pretrained(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == set(pair[0].state_dict())
    elsewhere = replace(here, models_dir=tmp_path / "no encoders here")
    again = SpeechTextForSequenceClassification.from_pretrained(tmp_path, settings=elsewhere)
    for name, tensor in pair[0].state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    torch.testing.assert_close(logits((again, pair[1]), CLIPS, TEXTS), logits(pair, CLIPS, TEXTS))
    again.freeze("head")
    assert set(again.stored_names()) == set(pair[0].state_dict())  # its encoders are nobody else's


def test_a_bundled_encoder_is_not_changed_by_training_it(settings: Settings) -> None:
    ours = shared_whisper(settings).encoder.state_dict()
    before = {name: tensor.clone() for name, tensor in ours.items()}
    network = SpeechTextForSequenceClassification.from_encoders(
        LABELS, "whisper-base", None, settings, freezing="entire"
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.items())


def test_the_library_can_push_it_to_the_hub(here: Settings, tmp_path: Path) -> None:
    network, _ = build(here)
    assert isinstance(network, PushToHubMixin)
    assert SpeechTextForSequenceClassification.push_to_hub is PreTrainedModel.push_to_hub
    # What it calls on the way, with what it gives.
    network.save_pretrained(str(tmp_path), max_shard_size="5GB", state_dict=network.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    again = SpeechTextForSequenceClassification.from_pretrained(str(tmp_path), settings=here)
    assert torch.equal(again.classifier.weight, network.classifier.weight)  # type: ignore[arg-type]


def rewritten(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Change the stored tensors, with a checksum to match."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    edited(folder, weights={"model.safetensors": sha256(folder / "model.safetensors")})


def edited(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | entries
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


FIVE = {str(row): name for row, name in enumerate((*LABELS, "fearful"))}
UNFIT: dict[str, Callable[[Path], Any]] = {
    "a tensor is missing": lambda folder: rewritten(folder, lambda tensors: tensors.pop("classifier.bias")),
    "a tensor too many": lambda folder: rewritten(folder, lambda tensors: tensors.update(more=torch.zeros(2))),
    "a head of another shape": lambda folder: rewritten(
        folder, lambda tensors: tensors.update({"classifier.weight": torch.zeros(7, 28)})
    ),
    "other labels": lambda folder: edited(folder, id2label=FIVE, label2id={v: int(k) for k, v in FIVE.items()}),
    "another kind of head": lambda folder: edited(folder, head="two-layer"),
    "a head that is none": lambda folder: edited(folder, head="deep"),
    "weights of layers that are not stored": lambda folder: edited(folder, layers="weighted"),
    "no text encoder any more": lambda folder: edited(folder, text_config=None, text_source=None),
    "dropout in words": lambda folder: edited(folder, head_dropout="much"),
    "a config of nothing": lambda folder: edited(folder, speech_config={"model_type": "nothing"}),
    "a source that is none": lambda folder: edited(folder, speech_source={"name": "x"}),
}


# What is stored whole needs no source, so a strange one does no harm there.
CASES = [
    (kind, freezing)
    for kind in UNFIT
    for freezing in ("head", "entire")
    if (kind[:8], freezing[0]) != ("a source", "e")
]


@pytest.mark.parametrize(("kind", "freezing"), CASES)
def test_what_does_not_fit_is_one_sentence(kind: str, freezing: str, here: Settings, tmp_path: Path) -> None:
    build(here, freezing=freezing)[0].save_pretrained(tmp_path)
    UNFIT[kind](tmp_path)
    with pytest.raises(WeightsUnavailable) as caught:
        SpeechTextForSequenceClassification.from_pretrained(tmp_path, settings=here)
    assert str(caught.value) == f"The config.json in {tmp_path} does not fit its weights."


def test_what_is_whole_lacks_no_tensor_of_an_encoder(here: Settings, tmp_path: Path) -> None:
    build(here, freezing="entire")[0].save_pretrained(tmp_path)
    rewritten(tmp_path, lambda tensors: tensors.pop("speech.encoder.encoder.layers.0.attention.q_proj.weight"))
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        SpeechTextForSequenceClassification.from_pretrained(tmp_path, settings=here)


def test_damage_is_told(here: Settings, tmp_path: Path) -> None:
    model = SpeechText("tried", *build(here))
    model.save(tmp_path)
    for name, message in (("model.safetensors", "damaged"), ("tokenizer.json", "damaged")):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-8] + b"        ")
        with pytest.raises(WeightsUnavailable, match=message):
            SpeechText.load(tmp_path, here)
        (tmp_path / name).write_bytes(whole)
    edited(tmp_path, labels=["happy", *LABELS[1:]])
    with pytest.raises(WeightsUnavailable, match="does not fit"):
        SpeechText.load(tmp_path, here)
    with pytest.raises(WeightsUnavailable, match="There is no folder"):
        SpeechText.load(tmp_path / "nothing", here)


def test_another_encoder_than_it_was_trained_on_is_refused(here: Settings, tmp_path: Path) -> None:
    place = here.models_dir / "encoders" / "mine"
    write_speech(place)
    build(here, "mine")[0].save_pretrained(tmp_path)
    tensors = load_file(place / "model.safetensors")
    tensors["encoder.layer_norm.bias"] += 1
    save_file(tensors, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="not the one that the model was trained on"):
        SpeechTextForSequenceClassification.from_pretrained(tmp_path, settings=here)


def test_an_option_that_means_nothing_is_refused(here: Settings) -> None:
    for options in ({"freezin": "head"}, {"heads": 2}, {"head": "deep"}, {"freezing": "top-0"}, {"text_dropout": 1.5}):
        with pytest.raises(InvalidSettings):
            build(here, **options)
