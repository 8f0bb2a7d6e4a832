"""`Network`: predictions of clips from their blocks, saving and loading, and refusal of parts that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models import store
from ser_engine.papers.network import SHAPES, Network, build, extract_blocks, standardize
from tests.speech import noise, speech, taken_for_speech, tone

LABELS = ("angry", "happy", "sad")
TINY: dict[str, dict[str, Any]] = {
    "cnn1d": {"filters": ((4,), (4,)), "dense": (8,)},
    "cnn2d": {"filters": (4, 4, 4, 4), "dense": 8},
    "mobilenet_v2": {"depth_multiplier": 0.1},
    "vgg16": {"filters": (4, 0, 4, 0, 4, 0, 4, 0, 4, 0)},
    "resnet50v2": {"depths": (1, 1), "widths": (32, 64), "stem": 8, "groups": 4, "dense": 16},
    "resnet34": {"depths": (1, 1), "widths": (8, 16), "stem": 8},
}
FEATURES = {
    "cnn1d": "acoustic94",
    "cnn2d": "mel-image",
    "mobilenet_v2": "jet-blocks",
    "vgg16": "mfcc-image",
    "resnet50v2": "mfcc-image",
    "resnet34": "spectrogram-image",
}
CLIPS = [taken_for_speech(sound) for sound in (speech(), tone(1.2), noise(2.5), noise(0.3))]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def network(kind: str, genders: bool = False) -> Network:
    features = FEATURES[kind]
    module = build(kind, len(LABELS) * (2 if genders else 1), TINY[kind])
    # As if it had been trained: with the statistics that batch norms begin with, little comes through a deep network.
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        module.train()(
            torch.from_numpy(np.concatenate([extract_blocks(features, CLIPS[i].samples, Settings()) for i in (0, 1)]))
        )
    width = SHAPES[features][0]
    rows = (np.linspace(-1, 1, width, dtype=np.float32), np.linspace(1, 99, width, dtype=np.float32))
    standardization = rows if kind == "cnn1d" else None
    return Network(
        "tried", LABELS, kind, features, module, TINY[kind], standardization, genders, 1.5, card={"run": "one"}
    )


@pytest.mark.parametrize("kind", list(TINY))
def test_a_clip_scores_alone_as_in_a_batch_and_the_same_when_saved_and_read(kind: str, tmp_path: Path) -> None:
    model = network(kind)
    scores = [prediction.scores for prediction in model.predict(CLIPS)]
    assert all(one.labels == LABELS and one.probabilities.dtype == np.float32 for one in scores)
    assert all(one.probabilities.sum() == pytest.approx(1, abs=1e-5) for one in scores)
    assert np.abs(scores[0].probabilities - scores[2].probabilities).max() > 1e-4
    for one, clip in zip(scores, CLIPS, strict=True):
        np.testing.assert_allclose(model.predict([clip])[0].scores.probabilities, one.probabilities, atol=1e-5)
    model.save(tmp_path / "tried")
    again = Network.load(tmp_path / "tried", Settings())
    assert (again.id, again.labels, again.kind, again.features) == ("tried", LABELS, kind, model.features)
    assert (again.temperature, again.genders, again.card) == (1.5, False, {"run": "one"})
    for one, other in zip(scores, again.predict(CLIPS), strict=True):
        np.testing.assert_allclose(other.scores.probabilities, one.probabilities, atol=1e-6)


def test_a_clip_s_scores_are_the_mean_over_its_blocks() -> None:
    model = network("mobilenet_v2")
    blocks = extract_blocks("jet-blocks", CLIPS[0].samples, Settings())
    assert len(blocks) == 3
    expected = np.mean([model.score(block[None])[0] for block in blocks], axis=0)
    np.testing.assert_allclose(model.predict(CLIPS)[0].scores.probabilities, expected, atol=1e-5)


def test_a_clip_of_more_blocks_than_a_batch_and_one_after_it() -> None:
    model = network("mobilenet_v2")
    model.features = "jet-blocks-overlapping"
    clips = [taken_for_speech(tone(1.36)), taken_for_speech(noise(0.5))]  # 37 blocks and 1
    predictions = model.predict(clips)
    np.testing.assert_allclose(
        predictions[1].scores.probabilities, model.predict(clips[1:])[0].scores.probabilities, atol=1e-5
    )


def test_probabilities_of_women_and_men_are_added_up(tmp_path: Path) -> None:
    model = network("mobilenet_v2", genders=True)
    model.temperature = 1.0
    blocks = extract_blocks("jet-blocks", CLIPS[3].samples, Settings())
    with torch.inference_mode():
        six = model.module(torch.from_numpy(blocks)).softmax(dim=1).numpy()[0]
    np.testing.assert_allclose(model.predict(CLIPS[3:])[0].scores.probabilities, six[:3] + six[3:], atol=1e-6)
    model.save(tmp_path)
    again = Network.load(tmp_path, Settings())
    assert again.genders
    np.testing.assert_allclose(again.score(blocks), model.score(blocks), atol=1e-6)


def test_vectors_are_standardized() -> None:
    model = network("cnn1d")
    features = np.random.default_rng(0).normal(size=(3, 94)).astype(np.float32)
    mean, deviation = model.standardization  # type: ignore[misc]
    seen: list[torch.Tensor] = []
    handle = model.module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.score(features)
    handle.remove()
    np.testing.assert_allclose(seen[0].numpy(), (features - mean) / deviation, rtol=1e-5)
    constant = standardize(np.ones((1, 2), np.float32), (np.ones(2, np.float32), np.zeros(2, np.float32)))
    assert constant.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", ["acoustic94", "acoustic173", "acoustic371", "mel-image", "spectrogram-image"])
def test_an_input_has_the_shape_that_it_states(name: str) -> None:
    blocks = extract_blocks(name, CLIPS[1].samples, Settings())
    assert blocks.shape == (1, *SHAPES[name])
    assert blocks.dtype == (np.uint8 if name.endswith("image") else np.float32)


def test_every_kind_can_be_built_and_fits_its_inputs() -> None:
    for kind, options in TINY.items():
        features = FEATURES[kind]
        assert build(kind, 3, options).eval()(torch.zeros(1, *SHAPES[features])).shape == (1, 3)
    assert build("embedding-mlp", 3)(torch.zeros(1, 128)).shape == (1, 3)


def test_wrong_kinds_and_options_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="no network “oracle”; there are cnn1d, cnn2d"):
        build("oracle", 3)
    with pytest.raises(InvalidSettings, match="cnn1d cannot be built with these options"):
        build("cnn1d", 3, {"wings": 2})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "cnn2d"},
        {"kind": "oracle"},
        {"options": {}},
        {"options": {"wings": 2}},
        {"features": "acoustic173"},
        {"features": "acoustic7"},
        {"labels": ["calm"]},
        {"labels": None},
        {"genders": True},
        {"temperature": 0},
        {"temperature": "warm"},
    ],
)
def test_a_config_that_does_not_fit_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    network("cnn1d").save(tmp_path)
    store.write_config(tmp_path, store.read_config(tmp_path) | change)
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        Network.load(tmp_path, Settings())


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    network("cnn1d").save(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(WeightsUnavailable, match="is damaged or of another version"):
        Network.load(tmp_path, Settings())


@pytest.mark.parametrize("missing", ["network.layers.1.weight", "standardization.mean"])
def test_weights_without_one_tensor_are_refused(missing: str, tmp_path: Path) -> None:
    network("cnn1d").save(tmp_path)
    tensors = store.read_tensors(tmp_path)
    del tensors[missing]
    checksum = store.write_tensors(tmp_path, tensors)
    store.write_config(tmp_path, store.read_config(tmp_path) | {"weights": {store.TENSORS: checksum}})
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        Network.load(tmp_path, Settings())
