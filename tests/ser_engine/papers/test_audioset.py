"""VGGish and YAMNet: published sizes, conversion of published files, and the message about missing ones."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models import store
from ser_engine.papers.audioset import SOURCES, VGGish, YAMNet, load_extractor
from ser_engine.papers.audioset_patches import VGGISH, YAMNET, patches
from ser_engine.papers.audioset_weights import VGGISH_LAYERS, convert, main
from ser_engine.papers.network import Network, build
from tests.speech import noise, silence, speech, taken_for_speech

Arrays = dict[str, np.ndarray]
# A VGGish with filters of its own; all else is as published.
SMALL: dict[str, Any] = {"filters": [4, 0, 4, 0, 8, 8, 0, 8, 8, 0], "dense": 16}


pytestmark = pytest.mark.usefixtures("one_thread")


def vggish_variables() -> Arrays:
    """Return random variables of a small VGGish, by TensorFlow's names and in its shapes."""
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 1, 4), (3, 3, 4, 4), (3, 3, 4, 8), (3, 3, 8, 8), (3, 3, 8, 8), (3, 3, 8, 8)]
    shapes += [(6 * 4 * 8, 16), (16, 16), (16, 128)]  # type: ignore[list-item]
    arrays: Arrays = {}
    for layer, shape in zip(VGGISH_LAYERS, shapes, strict=True):
        arrays[f"vggish/{layer}/weights"] = rng.normal(0, 0.3, shape).astype(np.float32)
        arrays[f"vggish/{layer}/biases"] = rng.normal(0, 0.3, shape[-1:]).astype(np.float32)
    # A checkpoint holds more than the network.
    return arrays | {"vggish/conv1/weights/Adam": np.zeros(3, np.float32), "global_step": np.zeros((), np.int64)}


def yamnet_variables() -> Arrays:
    """Return random variables of a YAMNet of its real size, by Keras's names and in its shapes."""
    rng = np.random.default_rng(0)
    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    steps = [("layer1/conv", "kernel", (3, 3, 1, 32))]
    for number, (before, after) in enumerate(pairwise(widths), start=2):
        steps.append((f"layer{number}/depthwise_conv", "depthwise_kernel", (3, 3, before, 1)))
        steps.append((f"layer{number}/pointwise_conv", "kernel", (1, 1, before, after)))
    arrays: Arrays = {}
    for step, kernel, shape in steps:
        channels = shape[2] if kernel == "depthwise_kernel" else shape[3]
        scale = np.sqrt(2 / (9 if kernel == "depthwise_kernel" else np.prod(shape[:3])))
        arrays[f"{step}/{kernel}"] = rng.normal(0, scale, shape).astype(np.float32)
        arrays[f"{step}/bn/beta"] = rng.normal(0, 0.1, channels).astype(np.float32)
        arrays[f"{step}/bn/moving_mean"] = rng.normal(0, 0.1, channels).astype(np.float32)
        arrays[f"{step}/bn/moving_variance"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
    arrays["logits/kernel"] = rng.normal(0, 0.1, (1024, 521)).astype(np.float32)
    arrays["logits/bias"] = rng.normal(0, 0.1, 521).astype(np.float32)
    return arrays


def same(size: int, stride: int) -> tuple[int, int]:
    lacking = max(0, (-(-size // stride) - 1) * stride + 3 - size)
    return lacking // 2, lacking - lacking // 2


def plain_yamnet(arrays: Arrays, levels: np.ndarray) -> torch.Tensor:
    """Return the embeddings, straight from Keras's variables."""
    maps = torch.from_numpy(levels)[:, None]
    strides = {1: 2, 3: 2, 5: 2, 7: 2, 13: 2}
    for number in range(1, 15):
        for step in ("conv",) if number == 1 else ("depthwise_conv", "pointwise_conv"):
            path = f"layer{number}/{step}"
            depthwise = step == "depthwise_conv"
            kernel = torch.from_numpy(arrays[f"{path}/{'depthwise_kernel' if depthwise else 'kernel'}"])
            stride = 1 if step == "pointwise_conv" else strides.get(number, 1)
            if depthwise:
                kernel = torch.stack([kernel[:, :, i, 0] for i in range(kernel.shape[2])])[:, None]
            else:
                kernel = torch.einsum("hwio->oihw", kernel)
            if step != "pointwise_conv":
                maps = functional.pad(maps, (*same(maps.shape[3], stride), *same(maps.shape[2], stride)))
            maps = functional.conv2d(maps, kernel, stride=stride, groups=maps.shape[1] if depthwise else 1)
            mean, variance, beta = (
                torch.from_numpy(arrays[f"{path}/bn/{what}"])[:, None, None]
                for what in ("moving_mean", "moving_variance", "beta")
            )
            maps = functional.relu((maps - mean) / torch.sqrt(variance + 1e-4) + beta)
    return maps.flatten(2).mean(dim=2)


def plain_vggish(arrays: Arrays, levels: np.ndarray) -> torch.Tensor:
    """Return the embeddings, straight from TensorFlow's variables."""
    maps = torch.from_numpy(levels)[:, None]
    for layer in VGGISH_LAYERS:
        weight, bias = (torch.from_numpy(arrays[f"vggish/{layer}/{what}"]) for what in ("weights", "biases"))
        if layer.startswith("conv"):
            maps = functional.relu(functional.conv2d(maps, torch.einsum("hwio->oihw", weight), bias, padding=1))
            if layer in ("conv1", "conv2", "conv3/conv3_2", "conv4/conv4_2"):
                maps = functional.max_pool2d(maps, 2)
            continue
        if maps.ndim == 4:
            maps = torch.einsum("bchw->bhwc", maps).flatten(1)
        maps = maps @ weight + bias
        if layer != "fc2":
            maps = functional.relu(maps)
    return maps


def as_keras(file: Path, arrays: Arrays, colon: str = ":0") -> Path:
    """Write variables as Keras does: a group for each layer, in which the layer's name stands again."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as stored:
        for path, array in arrays.items():
            layer = path.rpartition("/")[0]
            stored[f"{layer}/{path}{colon}"] = array
    return file


def test_vggish_and_yamnet_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in VGGish().parameters()) == 72_141_184  # "72.1M" as published
        yamnet = YAMNet()
        scales = sum(norm.weight.numel() for norm in yamnet.modules() if isinstance(norm, torch.nn.BatchNorm2d))
        # "3.7M" as published; the scales are torch's alone.
        assert sum(parameter.numel() for parameter in yamnet.parameters()) - scales == 3_729_481


@pytest.mark.parametrize("colon", [":0", ""])
def test_yamnet_s_file_of_keras_computes_what_its_variables_say(colon: str, tmp_path: Path) -> None:
    arrays = yamnet_variables()
    convert("yamnet", as_keras(tmp_path / "yamnet.h5", arrays, colon), tmp_path / "models" / "yamnet")
    extractor = load_extractor("yamnet", Settings(models_dir=tmp_path / "models"))
    embeddings = extractor.embed(speech())
    expected = plain_yamnet(arrays, patches(speech(), YAMNET)).numpy()
    assert embeddings.shape == expected.shape == (6, 1024) and np.abs(expected).max() > 0.1
    np.testing.assert_allclose(embeddings, expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(extractor.state_dict()["logits.weight"].numpy(), arrays["logits/kernel"].T)


def test_vggish_s_variables_compute_what_they_say(tmp_path: Path) -> None:
    arrays = vggish_variables()
    np.savez(tmp_path / "vggish.npz", **arrays)
    convert("vggish", tmp_path / "vggish.npz", tmp_path / "vggish", SMALL)
    embeddings = load_extractor("vggish", Settings(models_dir=tmp_path)).embed(speech())
    expected = plain_vggish(arrays, patches(speech(), VGGISH)).numpy()
    assert embeddings.shape == expected.shape == (3, 128) and expected.min() < -0.01  # linear: no ReLU at the end
    np.testing.assert_allclose(embeddings, expected, atol=1e-4, rtol=1e-4)


def test_vggish_s_port_to_torch_is_taken_as_it_is(tmp_path: Path) -> None:
    model = VGGish(**SMALL)
    torch.save(model.state_dict() | {"pproc.pca_means": torch.zeros(128)}, tmp_path / "vggish.pth")
    convert("vggish", tmp_path / "vggish.pth", tmp_path / "vggish", SMALL)
    embeddings = load_extractor("vggish", Settings(models_dir=tmp_path)).embed(noise(1))
    np.testing.assert_allclose(embeddings, model.embed(noise(1)), atol=1e-6)


def test_a_clip_of_any_length_has_an_embedding_which_no_other_clip_changes() -> None:
    for extractor in (VGGish(**SMALL).eval(), YAMNet(((8, 2), (8, 1), (16, 2))).eval()):
        assert len(extractor.embed(noise(0.01))) == len(extractor.embed(silence(0.9))) == 1
        long = noise(70 * 0.96 + 0.1)
        together = extractor.embed(long)
        assert len(together) > 64  # more than go through at once
        np.testing.assert_allclose(extractor.embed(long[: 3 * 15360])[:2], together[:2], atol=1e-5)


@pytest.mark.parametrize("name", ["vggish", "yamnet"])
def test_the_message_about_missing_weights_names_their_source_and_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as error:
        load_extractor(name, Settings(models_dir=tmp_path))
    assert SOURCES[name] in str(error.value) and "https://" in SOURCES[name]
    assert f"python -m ser_engine.papers.audioset_weights {name} FILE {tmp_path / name}" in str(error.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    arrays = vggish_variables()
    del arrays["vggish/fc2/biases"]
    np.savez(tmp_path / "lacking.npz", **arrays)
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    for file, text in (
        ("lacking.npz", "does not contain the weights of VGGish"),
        ("none.npz", "There is no file "),
    ):
        with pytest.raises(WeightsUnavailable, match=text):
            convert("vggish", tmp_path / file, tmp_path / "vggish", SMALL)
    for file in ("bad.npz", "bad.pth"):
        with pytest.raises(WeightsUnavailable, match="cannot be read as a"):
            convert("vggish", tmp_path / file, tmp_path / "vggish", SMALL)
    with pytest.raises(InvalidSettings, match="no embeddings “openl3”; there are vggish, yamnet"):
        convert("openl3", tmp_path / "lacking.npz", tmp_path / "openl3")
    assert not (tmp_path / "vggish").exists()


def test_a_damaged_keras_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    (tmp_path / "yamnet.h5").write_bytes(b"nothing")
    with pytest.raises(WeightsUnavailable, match="cannot be read as a Keras file"):
        convert("yamnet", tmp_path / "yamnet.h5", tmp_path / "yamnet")


def test_the_weights_of_one_are_refused_as_the_other_s(tmp_path: Path) -> None:
    np.savez(tmp_path / "vggish.npz", **vggish_variables())
    convert("vggish", tmp_path / "vggish.npz", tmp_path / "yamnet", SMALL)
    with pytest.raises(WeightsUnavailable, match="does not contain the weights of YAMNet"):
        load_extractor("yamnet", Settings(models_dir=tmp_path))


def test_the_command_converts_or_returns_a_message(tmp_path: Path) -> None:
    file = tmp_path / "yamnet.npz"
    assert str(main(["yamnet", str(file), str(tmp_path)])).startswith(f"There is no file {file}; get https://")
    assert str(main(["yamnet"])).startswith("usage: ")
    np.savez(file, **yamnet_variables())
    assert main(["yamnet", str(file), str(tmp_path / "yamnet")]) is None
    assert load_extractor("yamnet", Settings(models_dir=tmp_path)).embed(noise(0.5)).shape == (1, 1024)


def test_a_perceptron_on_embeddings_is_a_model_whose_clips_are_the_mean_of_their_patches(tmp_path: Path) -> None:
    np.savez(tmp_path / "vggish.npz", **vggish_variables())
    convert("vggish", tmp_path / "vggish.npz", tmp_path / "vggish", SMALL)
    settings = Settings(models_dir=tmp_path)
    options = {"width": 128, "hidden": (8,), "dropout": 0.5}
    module = build("embedding-mlp", 2, options)
    model = Network("tried", ("happy", "sad"), "embedding-mlp", "vggish", module, options, settings=settings)
    clip = taken_for_speech(speech())
    rows = model.score(load_extractor("vggish", settings).embed(clip.samples))
    assert len(rows) == 3
    np.testing.assert_allclose(model.predict([clip])[0].scores.probabilities, rows.mean(axis=0), atol=1e-6)
    model.save(tmp_path / "tried")
    again = Network.load(tmp_path / "tried", settings)
    np.testing.assert_allclose(again.predict([clip])[0].scores.probabilities, rows.mean(axis=0), atol=1e-6)
    with pytest.raises(WeightsUnavailable, match="The weights of VGGish are not on this computer"):
        Network.load(tmp_path / "tried", Settings(models_dir=tmp_path / "elsewhere"))
    assert store.read_config(tmp_path / "vggish")["architecture"] == "audio-embedding"
