"""Any torch network that scores images or vectors of features, as one `Model`.

A network has a kind (which module it is), an input (what is computed of a clip, one block or several) and options (how
the module is built). A clip's scores are the mean over its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.features import ACOUSTIC
from ser_engine.features.spectrogram import IMAGES
from ser_engine.models import store as weights
from ser_engine.models.base import Model
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Prediction, Scores, Transcript

ARCHITECTURE = "network"
WRITTEN = {
    *("id", "architecture", "kind", "options", "features", "standardised", "labels", "genders", "temperature"),
    "weights",
}
STANDARDISATION = ("standardisation.mean", "standardisation.deviation")
# Blocks that go through a network at once.
BATCH = 32

Blocks = NDArray[np.float32] | NDArray[np.uint8]
Standardisation = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and deviation, each float32 [k], of what a network was trained on."""


@dataclass(frozen=True)
class Kind:
    """Where a network's module is, and the inputs that the papers give to it, its own first."""

    module: str
    name: str
    features: tuple[str, ...]


KINDS = {
    "cnn1d": Kind("ser_engine.papers.cnn1d", "CNN1D", ("acoustic94", "acoustic173", "acoustic371")),
    "cnn2d": Kind("ser_engine.papers.cnn2d", "CNN2D", ("mel-image",)),
    "mobilenet_v2": Kind("ser_engine.papers.image_backbones", "MobileNetV2", ("jet-blocks", "jet-blocks-overlapping")),
    "vgg16": Kind("ser_engine.papers.image_backbones", "VGG16", ("mfcc-image", "mel-image")),
    "resnet50v2": Kind("ser_engine.papers.image_backbones", "ResNet50V2", ("mfcc-image",)),
    "resnet34": Kind("ser_engine.papers.image_backbones", "ResNet34", ("spectrogram-image",)),
    "embedding-mlp": Kind("ser_engine.papers.embedding_mlp", "EmbeddingMLP", ("vggish", "yamnet")),
}
"""What `Network.kind` can be; an image network takes any input of images that its options fit."""


@dataclass(frozen=True)
class Input:
    """What a network is fed with: the shape of one block, and what makes [blocks, *shape] of float32 [n] at 16 kHz."""

    shape: tuple[int, ...]
    extract: Callable[[NDArray[np.float32], Settings], Blocks]


def _acoustic(name: str, samples: NDArray[np.float32], settings: Settings) -> Blocks:
    return ACOUSTIC[name](samples, SAMPLE_RATE)[None]


def _images(name: str, samples: NDArray[np.float32], settings: Settings) -> Blocks:
    return IMAGES[name][0](samples)


def _embeddings(name: str, samples: NDArray[np.float32], settings: Settings) -> Blocks:
    from ser_engine.papers.audioset import load_extractor

    return load_extractor(name, settings).embed(samples)


INPUTS: dict[str, Input] = {
    **{name: Input((int(name.removeprefix("acoustic")),), partial(_acoustic, name)) for name in ACOUSTIC},
    **{name: Input(shape, partial(_images, name)) for name, (_, shape) in IMAGES.items()},
    "vggish": Input((128,), partial(_embeddings, "vggish")),
    "yamnet": Input((1024,), partial(_embeddings, "yamnet")),
}
"""Name → input; images are uint8, everything else float32."""


def build(kind: str, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the module of a kind of network, with random weights.

    Raises
    ------
    InvalidSettings
        There is no such kind, or it does not take these options.
    """
    if kind not in KINDS:
        raise InvalidSettings(f"There is no network “{kind}”; there are {', '.join(KINDS)}.")
    make = getattr(import_module(KINDS[kind].module), KINDS[kind].name)
    try:
        module: nn.Module = make(outputs, **(options or {}))
    except (TypeError, ValueError) as error:
        raise InvalidSettings(f"The network {kind} cannot be made of these options: {error}.") from None
    return module


class Network(Model):
    """A trained network as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id : name of the model
    labels : emotions in the order of the scores
    kind, options : a key of `KINDS`, and what its module is built with
    features : a key of `INPUTS`
    module : maps [batch, *shape of the input] to logits [batch, labels], or [batch, 2 labels] with `genders`
    standardisation : mean and deviation of vectors; None for images, whose networks scale them themselves
    genders : whether the module tells women from men, too: its first half of outputs are a woman's emotions, its second
        a man's, and the two are added up (paper-1, III.C.1, experiments 1.1 and 1.3)
    temperature : what logits are divided by
    settings : where the weights of "vggish" and "yamnet" lie; the defaults when left out
    card : further entries of config.json
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        kind: str,
        features: str,
        module: nn.Module,
        options: Mapping[str, Any] | None = None,
        standardisation: Standardisation | None = None,
        genders: bool = False,
        temperature: float = 1.0,
        settings: Settings | None = None,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, card)
        self.kind, self.features = kind, features
        self.module, self.options = module.eval(), dict(options or {})
        self.standardisation, self.genders, self.temperature = standardisation, genders, temperature
        self.settings = settings or Settings()

    @property
    def device(self) -> str:
        """Where the network computes, as torch names it."""
        return str(next(self.module.parameters()).device)

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording, the mean over its blocks."""
        predictions: list[Prediction] = []
        waiting: list[NDArray[Any]] = []
        for number, speech in enumerate(batch, start=1):
            waiting.append(INPUTS[self.features].extract(speech.samples, self.settings))
            if number == len(batch) or sum(map(len, waiting)) >= BATCH:  # a clip can have hundreds of blocks
                rows = np.split(
                    self.score(np.concatenate(waiting)), np.cumsum([len(blocks) for blocks in waiting])[:-1]
                )
                predictions += [Prediction(Scores(self.labels, of_clip.mean(axis=0))) for of_clip in rows]
                waiting = []
        return predictions

    def score(self, blocks: NDArray[Any]) -> NDArray[np.float32]:
        """Map blocks [n, *shape] of the input, as they come, to probabilities float32 [n, labels]."""
        with torch.inference_mode():
            parts = [self._logits(blocks[first : first + BATCH]) for first in range(0, len(blocks), BATCH)]
            probabilities = (torch.cat(parts) / self.temperature).softmax(dim=1)
            if self.genders:
                probabilities = probabilities.unflatten(1, (2, len(self.labels))).sum(dim=1)
            return probabilities.cpu().numpy()

    def _logits(self, blocks: NDArray[Any]) -> Tensor:
        inputs = torch.from_numpy(standardised(blocks, self.standardisation)).to(self.device)
        return self.module(inputs).float()

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": tensor for name, tensor in self.module.state_dict().items()}
        if self.standardisation is not None:
            rows = map(torch.from_numpy, self.standardisation)
            tensors |= dict(zip(STANDARDISATION, rows, strict=True))
        checksum = weights.write_tensors(folder, tensors)
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "kind": self.kind,
            "options": self.options,
            "features": self.features,
            "standardised": self.standardisation is not None,
            "labels": list(self.labels),
            "genders": self.genders,
            "temperature": self.temperature,
            **self.card,
            "weights": {weights.TENSORS: checksum},
        }
        weights.write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> Network:
        """Read what `save` wrote.

        Raises
        ------
        WeightsUnavailable
            A file is missing, differs from its checksum or does not fit the others; or the network listens to VGGish or
            YAMNet, whose weights are not there.
        """
        config, tensors = weights.read_config(folder), weights.read_tensors(folder)
        try:
            labels, genders, temperature = tuple(config["labels"]), config["genders"], float(config["temperature"])
            kind, features = config["kind"], config["features"]
            standardisation = None
            if config["standardised"]:
                mean, deviation = (tensors.pop(name).numpy() for name in STANDARDISATION)
                standardisation = (mean, deviation)
            module = build(kind, len(labels) * (2 if genders else 1), config["options"])
            module.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
            shape = INPUTS[features].shape
            if standardisation and any(row.shape != shape for row in standardisation):
                raise ValueError
            if not isinstance(genders, bool) or not 0 < temperature < math.inf or not _takes(module, shape):
                raise ValueError
            id = config["id"]
        except (KeyError, TypeError, ValueError, RuntimeError, InvalidSettings):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit the weights beside it.") from None
        if kind == "embedding-mlp":
            from ser_engine.papers.audioset import load_extractor

            load_extractor(features, settings)
        card = {key: value for key, value in config.items() if key not in WRITTEN}
        options = config["options"]
        return cls(id, labels, kind, features, module, options, standardisation, genders, temperature, settings, card)


def standardised(blocks: NDArray[Any], standardisation: Standardisation | None) -> NDArray[Any]:
    """Return blocks [n, k] less their mean, over their deviation; a feature that never varies becomes 0."""
    if standardisation is None:
        return blocks
    mean, deviation = standardisation
    return ((blocks - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)


def _takes(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Say whether blocks of this shape can go through the module; raises RuntimeError or ValueError where not."""
    with torch.inference_mode():
        return bool(torch.isfinite(module.eval()(torch.zeros(1, *shape))).all())
