"""The published weights of VGGish and YAMNet, converted once into a folder of ours.

    python -m ser_engine.papers.audioset_weights yamnet yamnet.h5 models/yamnet

YAMNet's are one file of Keras. VGGish's are a checkpoint of TensorFlow, which TensorFlow alone can read: either its
port to torch (torchvggish's release v0.1) is converted, or a .npz that TensorFlow has written of every variable:

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
from ser_engine.models.store import TENSORS, sha256, write_config, write_tensors
from ser_engine.papers.audioset import ARCHITECTURE, EXTRACTORS

Arrays = Mapping[str, NDArray[np.float32]]

WHERE = {
    "vggish": "vggish-10086976.pth from https://github.com/harritaylor/torchvggish/releases/tag/v0.1, or "
    "https://storage.googleapis.com/audioset/vggish_model.ckpt as .npz (models/audioset_weights.py says how)",
    "yamnet": "https://storage.googleapis.com/audioset/yamnet.h5",
}
"""Where each network's weights are published."""

# TensorFlow's name of a layer of VGGish → ours. Other variables of a checkpoint belong to its training.
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
# A variable of YAMNet at the end of its path in the file; Keras writes layer names twice, and ":0" until version 2.
YAMNET_VARIABLE = re.compile(
    r"(?P<layer>layer\d+)/(?P<step>conv|depthwise_conv|pointwise_conv)(?P<norm>/bn)?/(?P<what>\w+)(:0)?$"
    r"|logits/(?P<dense>kernel|bias)(:0)?$"
)
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert(name: str, file: Path, folder: Path, options: Mapping[str, Any] | None = None) -> None:
    """Write the published weights of "vggish" or "yamnet" in `file` as config.json and model.safetensors in `folder`.

    `file` is YAMNet's .h5 of Keras, VGGish's .pth of torchvggish, or a .npz of the variables by TensorFlow's names.
    `options` are those of the network where it is not the published size.

    Raises
    ------
    WeightsUnavailable
        The file is not there, cannot be read, or does not hold exactly that network's weights.
    InvalidSettings
        There is no such network.
    """
    if name not in EXTRACTORS:
        raise InvalidSettings(f"There are no embeddings “{name}”; there are {', '.join(EXTRACTORS)}.")
    extractor = EXTRACTORS[name](**(options or {}))
    expected = extractor.state_dict()
    tensors = _tensors(name, file)
    # YAMNet's batch norms have no scale, and nobody but torch counts batches.
    for key, value in expected.items():
        if key.endswith("num_batches_tracked") or (key.endswith("bn.weight") and key not in tensors):
            tensors[key] = torch.ones_like(value)
    try:
        extractor.load_state_dict(tensors)
    except RuntimeError:
        raise WeightsUnavailable(f"{file} does not hold the weights of {EXTRACTORS[name].__name__}.") from None
    checksum = write_tensors(folder, extractor.state_dict())
    write_config(
        folder,
        {
            "architecture": ARCHITECTURE,
            "network": name,
            "options": dict(options or {}),
            "source": f"{file.name}, sha256 {sha256(file)}",
            "weights": {TENSORS: checksum},
        },
    )


def _tensors(name: str, file: Path) -> dict[str, Tensor]:
    """Return what of the file is of use to the network, by our names."""
    if not file.is_file():
        raise WeightsUnavailable(f"{file} is not there; get {WHERE[name]}.")
    if file.suffix == ".pth":
        return _torch(file)
    arrays = _npz(file) if file.suffix == ".npz" else _keras(file)
    return _vggish(arrays) if name == "vggish" else _yamnet(arrays)


def _torch(file: Path) -> dict[str, Tensor]:
    from pickle import UnpicklingError

    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        # torchvggish's file may carry what reduces embeddings for YouTube-8M, too; paper-3 has none of it.
        return {name: tensor for name, tensor in stored.items() if name.startswith(("features.", "embeddings."))}
    except (OSError, RuntimeError, EOFError, AttributeError, UnpicklingError):
        raise WeightsUnavailable(f"{file} cannot be read as a file of torch.") from None


def _npz(file: Path) -> Arrays:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, BadZipFile):
        raise WeightsUnavailable(f"{file} cannot be read as a file of numpy.") from None


def _keras(file: Path) -> Arrays:
    try:
        import h5py
    except ImportError:
        raise WeightsUnavailable(f"To read {file}, the Python package h5py is needed: pip install h5py.") from None
    arrays: dict[str, NDArray[np.float32]] = {}

    def keep(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[path] = np.asarray(item)

    try:
        with h5py.File(file, "r") as stored:
            stored.visititems(keep)
    except OSError:
        raise WeightsUnavailable(f"{file} cannot be read as a file of Keras.") from None
    return arrays


def _vggish(arrays: Arrays) -> dict[str, Tensor]:
    """Return VGGish's variables (vggish/conv1/weights, vggish/conv1/biases and so on) by our names."""
    tensors = {}
    for path, array in arrays.items():
        layer, _, what = path.removeprefix("vggish/").rpartition("/")
        if layer in VGGISH_LAYERS and what in ("weights", "biases"):
            tensors[f"{VGGISH_LAYERS[layer]}.{'weight' if what == 'weights' else 'bias'}"] = _turned(array)
    return tensors


def _yamnet(arrays: Arrays) -> dict[str, Tensor]:
    """Return YAMNet's variables (layer2/depthwise_conv/bn/beta and so on) by our names."""
    tensors = {}
    for path, array in arrays.items():
        found = YAMNET_VARIABLE.search(path)
        if not found:
            continue
        if found["dense"]:
            tensors["logits.weight" if found["dense"] == "kernel" else "logits.bias"] = _turned(array)
        elif found["norm"] and found["what"] in NORM:
            tensors[f"layers.{found['layer']}.{found['step']}.bn.{NORM[found['what']]}"] = _turned(array)
        elif found["what"] in ("kernel", "depthwise_kernel"):
            # [h, w, channels, 1] where each channel has its own filter
            depthwise = found["step"] == "depthwise_conv"
            weight = array.transpose(0, 1, 3, 2) if depthwise and array.ndim == 4 else array
            tensors[f"layers.{found['layer']}.{found['step']}.conv.weight"] = _turned(weight)
    return tensors


def _turned(array: NDArray[np.float32]) -> Tensor:
    """Return TensorFlow's [h, w, in, out] or [in, out] as torch's [out, in, h, w] or [out, in]."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, tuple(range(array.ndim)))
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes), dtype=np.float32))


def main(arguments: Sequence[str]) -> str | None:
    """Convert what the command line names; return what went wrong, if anything did."""
    if len(arguments) != 3:
        return "usage: python -m ser_engine.papers.audioset_weights (vggish|yamnet) FILE FOLDER"
    try:
        convert(arguments[0], Path(arguments[1]), Path(arguments[2]))
    except SerError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
