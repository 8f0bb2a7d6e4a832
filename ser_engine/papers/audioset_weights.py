"""Conversion of the published weights of VGGish and YAMNet into model folders.

    python -m ser_engine.papers.audioset_weights yamnet yamnet.h5 models/yamnet

YAMNet's weights are a Keras file. VGGish's are a TensorFlow checkpoint, which only TensorFlow can read: convert its
port to torch (torchvggish's release v0.1), or a .npz of all variables written by TensorFlow:

    reader = tf.train.load_checkpoint("vggish_model.ckpt")
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("vggish/")]
    np.savez("vggish.npz", **{name: reader.get_tensor(name) for name in names})
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ser_engine.errors import InvalidSettings, SerError, WeightsUnavailable
from ser_engine.models import store
from ser_engine.models.encoders import UNREADABLE
from ser_engine.papers.audioset import ARCHITECTURE, EXTRACTORS, SOURCES

Arrays = Mapping[str, NDArray[np.float32]]

# TensorFlow's name of a layer of VGGish → ours. A checkpoint has further variables, which belong to its training.
VGGISH_LAYERS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3/conv3_1": "features.6",
    "conv3/conv3_2": "features.8",
    "conv4/conv4_1": "features.11",
    "conv4/conv4_2": "features.13",
    "fc1/fc1_1": "embeddings.0",
    "fc1/fc1_2": "embeddings.2",
    "fc2": "embeddings.4",
}
# The end of a variable's path in YAMNet's file; Keras writes layer names twice, and ":0" until version 2.
YAMNET_VARIABLE = re.compile(
    r"(?P<layer>layer\d+)/(?P<step>conv|depthwise_conv|pointwise_conv)(?P<norm>/bn)?/(?P<what>\w+)(:0)?$"
    r"|logits/(?P<dense>kernel|bias)(:0)?$"
)
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert(name: str, file: Path, folder: Path, options: Mapping[str, Any] | None = None) -> None:
    """Convert the published weights of "vggish" or "yamnet" into config.json and model.safetensors in `folder`.

    `file` is YAMNet's .h5 of Keras, VGGish's .pth of torchvggish, or a .npz of the variables by TensorFlow's names.
    `options` are those of a network that is not of the published size.
    Raise WeightsUnavailable if the file does not contain exactly that network's weights.
    """
    if name not in EXTRACTORS:
        raise InvalidSettings(f"There are no embeddings “{name}”; there are {', '.join(EXTRACTORS)}.")
    extractor = EXTRACTORS[name](**(options or {}))
    expected = extractor.state_dict()
    tensors = _load_tensors(name, file)
    # YAMNet's batch norms have no scale, and only torch counts batches.
    for key, value in expected.items():
        if key.endswith("num_batches_tracked") or (key.endswith("bn.weight") and key not in tensors):
            tensors[key] = torch.ones_like(value)
    try:
        extractor.load_state_dict(tensors)
    except RuntimeError:
        raise WeightsUnavailable(f"{file} does not contain the weights of {EXTRACTORS[name].__name__}.") from None
    checksum = store.write_tensors(folder, extractor.state_dict())
    store.write_config(
        folder,
        {
            "architecture": ARCHITECTURE,
            "network": name,
            "options": dict(options or {}),
            "source": f"{file.name}, sha256 {store.sha256(file)}",
            "weights": {store.TENSORS: checksum},
        },
    )


def _load_tensors(name: str, file: Path) -> dict[str, Tensor]:
    """Return the network's tensors in the file, by our names."""
    if not file.is_file():
        raise WeightsUnavailable(f"There is no file {file}; get {SOURCES[name]}.")
    kind = {".pth": "torch", ".npz": "NumPy"}.get(file.suffix, "Keras")
    try:
        if kind == "torch":
            stored = torch.load(file, map_location="cpu", weights_only=True)
            # torchvggish's file may also contain the reduction of embeddings for YouTube-8M, which Islam does not use.
            return {key: tensor for key, tensor in stored.items() if key.startswith(("features.", "embeddings."))}
        arrays = dict(np.load(file, allow_pickle=False)) if kind == "NumPy" else _load_keras(file)
    except (*UNREADABLE, BadZipFile):
        raise WeightsUnavailable(f"{file} cannot be read as a {kind} file.") from None
    return _rename_vggish(arrays) if name == "vggish" else _rename_yamnet(arrays)


def _load_keras(file: Path) -> Arrays:
    try:
        import h5py
    except ImportError:
        raise WeightsUnavailable(f"To read {file}, the Python package h5py is needed: pip install h5py.") from None
    arrays: dict[str, NDArray[np.float32]] = {}

    def add(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[path] = np.asarray(item)

    with h5py.File(file, "r") as stored:
        stored.visititems(add)
    return arrays


def _rename_vggish(arrays: Arrays) -> dict[str, Tensor]:
    """Return VGGish's variables (vggish/conv1/weights, vggish/conv1/biases and so on) by our names."""
    tensors = {}
    for path, array in arrays.items():
        layer, _, what = path.removeprefix("vggish/").rpartition("/")
        if layer in VGGISH_LAYERS and what in ("weights", "biases"):
            tensors[f"{VGGISH_LAYERS[layer]}.{'weight' if what == 'weights' else 'bias'}"] = _transpose(array)
    return tensors


def _rename_yamnet(arrays: Arrays) -> dict[str, Tensor]:
    """Return YAMNet's variables (layer2/depthwise_conv/bn/beta and so on) by our names."""
    tensors = {}
    for path, array in arrays.items():
        match = YAMNET_VARIABLE.search(path)
        if not match:
            continue
        if match["dense"]:
            tensors["logits.weight" if match["dense"] == "kernel" else "logits.bias"] = _transpose(array)
        elif match["norm"] and match["what"] in NORM:
            tensors[f"layers.{match['layer']}.{match['step']}.bn.{NORM[match['what']]}"] = _transpose(array)
        elif match["what"] in ("kernel", "depthwise_kernel"):
            # [h, w, channels, 1] if each channel has its own filter
            depthwise = match["step"] == "depthwise_conv"
            weight = array.transpose(0, 1, 3, 2) if depthwise and array.ndim == 4 else array
            tensors[f"layers.{match['layer']}.{match['step']}.conv.weight"] = _transpose(weight)
    return tensors


def _transpose(array: NDArray[np.float32]) -> Tensor:
    """Return TensorFlow's [h, w, in, out] or [in, out] as torch's [out, in, h, w] or [out, in]."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, tuple(range(array.ndim)))
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes), dtype=np.float32))


def main(arguments: Sequence[str]) -> str | None:
    """Convert the file that the command line names; return an error message or None."""
    if len(arguments) != 3:
        return "usage: python -m ser_engine.papers.audioset_weights (vggish|yamnet) FILE FOLDER"
    try:
        convert(arguments[0], Path(arguments[1]), Path(arguments[2]))
    except SerError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
