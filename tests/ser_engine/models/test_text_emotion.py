"""Emotion in words: alike alone and in batches, in pieces and after saving; silent where nothing is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ser_engine import Settings
from ser_engine.data.corpora.sentences import LABELS
from ser_engine.errors import WeightsUnavailable
from ser_engine.models import text_model
from ser_engine.models.registry import find_model, list_models, load_model
from ser_engine.models.store import CONFIG, TENSORS, sha256
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.types import TextPrediction
from tests.ser_engine.models.tiny_text_emotion import CARD, make

TEXTS = ["Kids are talking by the door.", "dogs", "it is eleven o'clock", "say the word door", "what is this about ?"]
LONG = (
    "kids are talking . dogs are sitting by the door . it is eleven o ' clock . i wonder what this is about . say word"
)


@pytest.fixture(scope="module")
def reader(here: Settings) -> TextEmotion:
    return make(here)


@pytest.fixture(scope="module")
def folder(reader: TextEmotion, here: Settings) -> Path:
    reader.save(here.models_dir / "tiny-text")
    return here.models_dir / "tiny-text"


def values(predictions: list[TextPrediction]) -> np.ndarray:
    return np.stack([np.concatenate([prediction.probabilities, prediction.margins]) for prediction in predictions])


# --- Reading


def test_each_label_has_a_probability_of_its_own(reader: TextEmotion) -> None:
    predictions = reader.predict(TEXTS)
    assert all(prediction.labels == LABELS for prediction in predictions)
    found = np.stack([prediction.probabilities for prediction in predictions])
    assert found.dtype == np.float32 and ((found > 0) & (found < 1)).all()
    assert np.ptp(found, axis=0).max() > 0.05 and (np.abs(found.sum(axis=1) - 1) > 0.01).any()


def test_alone_and_in_any_batch_a_text_says_the_same(reader: TextEmotion) -> None:
    alone = values([reader.predict([text])[0] for text in TEXTS])
    np.testing.assert_allclose(values(reader.predict(TEXTS)), alone, atol=1e-5)
    many = reader.predict([*TEXTS[::-1]] * 20)  # more than are encoded at once
    np.testing.assert_allclose(values(many[:5])[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(values(many[-5:])[::-1], alone, atol=1e-5)


def test_from_several_threads_it_says_the_same(reader: TextEmotion) -> None:
    expected = values(reader.predict(TEXTS))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: values(reader.predict(TEXTS)), range(12)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_words_abstain(reader: TextEmotion) -> None:
    predictions = reader.predict(["", None, "  \n ", "dogs"])
    assert [prediction.emotional for prediction in predictions[:3]] == [0, 0, 0] and not predictions[0].shares()
    assert reader.predict([]) == []


# --- Margins


def row(**given: float) -> np.ndarray:
    return np.array([[given.get(label, 0.1) for label in LABELS]], np.float32)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"happy": 0.45}, {}),  # present, but no margin yet
        ({"happy": 0.5}, {}),
        ({"happy": 0.75}, {"happy": 0.5}),
        ({"happy": 0.75, "neutral": 0.8}, {}),
        ({"happy": 0.8, "neutral": 0.6}, {"happy": 0.5}),
        ({"neutral": 0.99}, {}),
        ({"angry": 1.0, "disgust": 0.6}, {"angry": 1.0, "disgust": 0.2}),
        ({"angry": 1.0, "neutral": 1.0}, {}),
    ],
)
def test_a_margin_begins_at_the_threshold_and_at_neutral(
    reader: TextEmotion, given: dict[str, float], expected: dict[str, float]
) -> None:
    (margins,) = reader.margins(row(**given))
    found = {label: float(margin) for label, margin in zip(LABELS, margins, strict=True) if margin != 0}
    assert found == pytest.approx(expected, abs=1e-6)
    prediction = TextPrediction(LABELS, row(**given)[0], margins)
    assert prediction.emotional == pytest.approx(max(expected.values(), default=0))
    assert sum(prediction.shares().values()) == pytest.approx(1 if expected else 0)


def test_a_higher_threshold_makes_it_abstain_more(here: Settings) -> None:
    emotional = [sum(o.emotional > 0 for o in make(here, threshold).predict(TEXTS)) for threshold in (0.05, 0.5, 0.999)]
    assert emotional[0] >= emotional[1] >= emotional[2] == 0 and emotional[0] > 0


# --- Long texts


def test_a_long_text_is_cut_at_the_ends_of_sentences(reader: TextEmotion) -> None:
    assert reader.tokens == 22  # the tiny encoder's
    found = reader.pieces(LONG)
    assert " ".join(piece for piece, _ in found) == LONG and len(found) > 1
    assert all(piece.endswith(".") for piece, _ in found[:-1])
    assert all(length == reader.processor.lengths([piece])[0] <= 20 for piece, length in found)


def test_a_sentence_without_end_is_cut_between_words(reader: TextEmotion) -> None:
    endless = "kids are talking by the door and " * 30
    found = reader.pieces(endless)
    assert " ".join(piece for piece, _ in found).split() == endless.split()
    assert all(length <= 20 for _, length in found)


def test_a_word_without_end_is_read_as_far_as_there_is_room(reader: TextEmotion) -> None:
    prediction = reader.predict(["(" * 5000])[0]
    assert np.isfinite(prediction.probabilities).all()


def test_a_long_text_says_what_its_pieces_say_on_average(reader: TextEmotion) -> None:
    pieces = reader.pieces(LONG)
    each = reader.predict([piece for piece, _ in pieces])
    shares = [length for _, length in pieces]
    mean = np.average(values(each), axis=0, weights=shares)
    np.testing.assert_allclose(values(reader.predict([LONG]))[0], mean, atol=1e-5)


def test_of_endless_texts_a_limited_number_of_pieces_is_read(reader: TextEmotion) -> None:
    pieces = reader.pieces(LONG * 200)
    assert text_model.MAX_PIECES / 2 < len(pieces) <= text_model.MAX_PIECES


# --- On disk


def test_what_was_saved_says_nearly_the_same_without_the_encoder(
    reader: TextEmotion, folder: Path, here: Settings, tmp_path: Path
) -> None:
    loaded = TextEmotion.load(folder, replace(here, models_dir=tmp_path))
    np.testing.assert_allclose(values(loaded.predict(TEXTS)), values(reader.predict(TEXTS)), atol=0.05)
    assert (loaded.id, loaded.labels, loaded.languages, loaded.card) == ("tiny-text", LABELS, ("en",), CARD)
    loaded.save(tmp_path / "again")
    again = TextEmotion.load(tmp_path / "again", here)
    np.testing.assert_allclose(values(again.predict(TEXTS)), values(loaded.predict(TEXTS)), atol=0.02)


def test_loading_draws_nothing_at_random(folder: Path, here: Settings) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    TextEmotion.load(folder, here)
    assert torch.equal(before, torch.random.get_rng_state())


def test_matrices_are_stored_in_eight_bits_and_no_path_is_told(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ser_engine.models.quantization.MIN_SIZE", 32)
    make(here).save(tmp_path / "model")
    stored = load_file(tmp_path / "model" / TENSORS)
    assert stored["encoder.embeddings.word_embeddings.weight"].dtype == torch.int8
    text = "".join(file.read_text() for file in (tmp_path / "model").glob("*.json"))
    assert str(here.models_dir) not in text and "_name_or_path" not in text
    assert TextEmotion.load(tmp_path / "model", here).predict(["dogs"])[0].probabilities.shape == (7,)


def test_its_folder_is_no_choice_for_recordings(folder: Path, here: Settings) -> None:
    assert folder.name not in list_models(here)
    with pytest.raises(WeightsUnavailable, match="There is no emotion model “tiny-text”"):
        find_model(replace(here, model="tiny-text"))
    with pytest.raises(WeightsUnavailable, match="of a kind that this version does not know"):
        load_model(folder, here)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": list(LABELS[:-1])},
        {"labels": [*LABELS[:-1], "LABEL_9"]},
        {"labels": ["calm", *LABELS[1:]]},
        {"labels": [*LABELS[:-1], LABELS[0]]},
        {"thresholds": [0.5] * 6},
        {"margin_thresholds": [0.5] * 6 + [1.0]},
        {"margin_thresholds": [0.5] * 6 + [float("nan")]},
        {"margin_thresholds": "high"},
        {"encoder": {"model_type": "bert"}},
        {"encoder": {"model_type": "no such"}},
        {"encoder": {}},
        {"id": 5},
        {"languages": None},
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, here: Settings, tmp_path: Path, change: Any) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / CONFIG).read_text())
    (copy / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        TextEmotion.load(copy, here)


def without(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["encoder.encoder.layer.0.output.dense.bias"]


def with_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["encoder.pooler.dense.bias"] = torch.zeros(12)


def with_a_stranger(tensors: dict[str, torch.Tensor]) -> None:
    tensors["stranger"] = torch.zeros(2)


def without_head(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["classifier.bias"]


def of_another_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["encoder.embeddings.LayerNorm.bias"] = torch.zeros(13)


@pytest.mark.parametrize("damage", [without, with_more, with_a_stranger, without_head, of_another_shape])
def test_tensors_that_are_missing_or_too_many_are_refused(
    folder: Path, here: Settings, tmp_path: Path, damage: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    tensors = load_file(copy / TENSORS)
    damage(tensors)
    save_file(tensors, copy / TENSORS)
    config = json.loads((copy / CONFIG).read_text())
    config["weights"][TENSORS] = sha256(copy / TENSORS)
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        TextEmotion.load(copy, here)


@pytest.mark.parametrize("file", [TENSORS, "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_is_missing_or_changed_is_refused(folder: Path, here: Settings, tmp_path: Path, file: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / file).write_bytes((copy / file).read_bytes() + b" ")
    with pytest.raises(WeightsUnavailable, match=f"{file} is damaged"):
        TextEmotion.load(copy, here)
    (copy / file).unlink()
    with pytest.raises(WeightsUnavailable, match=f"{file} is missing"):
        TextEmotion.load(copy, here)


def test_a_folder_of_another_kind_is_refused(here: Settings, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "classical"}')
    with pytest.raises(WeightsUnavailable, match="no text emotion model"):
        TextEmotion.load(tmp_path, here)
