"""Any torch network that classifies images or vectors of features, as one `Model`.

A network has a kind (its module), features (one or several blocks computed from a clip) and options (of the module). A
clip's scores are the mean over its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from ser_engine.models import store
from ser_engine.models.base import Model
from ser_engine.models.device import choose_device
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Prediction, Scores, Transcript

ARCHITECTURE = "network"
CONFIG_KEYS = {"id", "architecture", "kind", "options", "features", "labels", "genders", "temperature", "weights"}
STANDARDIZATION = ("standardization.mean", "standardization.deviation")
BATCH = 32
"""Blocks that are scored at once."""

Blocks = NDArray[np.float32] | NDArray[np.uint8]
Standardization = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and deviation, each float32 [k], of the training examples."""

KINDS = {
    "cnn1d": ("ser_engine.papers.cnn1d", "CNN1D"),
    "cnn2d": ("ser_engine.papers.cnn2d", "CNN2D"),
    "mobilenet_v2": ("ser_engine.papers.image_backbones", "MobileNetV2"),
    "vgg16": ("ser_engine.papers.image_backbones", "VGG16"),
    "resnet50v2": ("ser_engine.papers.image_backbones", "ResNet50V2"),
    "resnet34": ("ser_engine.papers.image_backbones", "ResNet34"),
    "tiwari-cnn": ("ser_engine.papers.tiwari_cnn", "TiwariCNN"),
    "embedding-mlp": ("ser_engine.papers.embedding_search", "EmbeddingMLP"),
}
"""The kinds of networks: module and class, imported when one is built."""


SHAPES: dict[str, tuple[int, ...]] = {
    **{name: (int(name.removeprefix("acoustic")),) for name in ACOUSTIC},
    **{name: shape for name, (_, shape) in IMAGES.items()},
    "vggish": (128,),
    "yamnet": (1024,),
}
"""The features of networks by name, and the shape of one block of them."""


def extract_blocks(features: str, samples: NDArray[np.float32], settings: Settings) -> Blocks:
    """Return [blocks, *shape] of float32 [n] at 16 kHz; images are uint8, everything else float32."""
    if features in ACOUSTIC:
        return ACOUSTIC[features](samples, SAMPLE_RATE)[None]
    if features in IMAGES:
        return IMAGES[features][0](samples)
    from ser_engine.papers.audioset import load_extractor

    return load_extractor(features, settings).embed(samples)


def build(kind: str, outputs: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the module of a kind of network, with random weights."""
    if kind not in KINDS:
        raise InvalidSettings(f"There is no network “{kind}”; there are {', '.join(KINDS)}.")
    path, name = KINDS[kind]
    try:
        module: nn.Module = getattr(import_module(path), name)(outputs, **(options or {}))
    except (TypeError, ValueError) as error:
        raise InvalidSettings(f"The network {kind} cannot be built with these options: {error}.") from None
    return module


class Network(Model):
    """A trained network as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id : name of the model
    labels : emotions in the order of the scores
    kind, options : key of `KINDS`, and the parameters of its module
    features : key of `SHAPES`
    module : maps [batch, *shape of the input] to logits [batch, labels], or [batch, 2 labels] with `genders`
    standardization : mean and deviation of vectors; None for images, which networks scale themselves
    genders : whether the first half of the outputs are women's emotions and the second half men's, which are added up
        (Sharma, III.C.1, experiments 1.1 and 1.3)
    temperature : divides the logits
    settings : where the weights of "vggish" and "yamnet" are; by default the default settings
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
        standardization: Standardization | None = None,
        genders: bool = False,
        temperature: float = 1.0,
        settings: Settings | None = None,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(id, labels, card)
        self.kind, self.features = kind, features
        self.module, self.options = module.eval(), dict(options or {})
        self.standardization, self.genders, self.temperature = standardization, genders, temperature
        self.settings = settings or Settings()

    @property
    def device(self) -> str:
        """Where the network computes, as torch names it."""
        return str(next(self.module.parameters()).device)

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording, the mean over its blocks."""
        clips = (extract_blocks(self.features, speech.samples, self.settings) for speech in batch)
        return [Prediction(Scores(self.labels, self.score(blocks).mean(axis=0))) for blocks in clips]

    def score(self, blocks: NDArray[Any]) -> NDArray[np.float32]:
        """Map blocks [n, *shape] of the input, not yet standardized, to probabilities float32 [n, labels]."""
        with torch.inference_mode():
            parts = [self._logits(blocks[first : first + BATCH]) for first in range(0, len(blocks), BATCH)]
            probabilities = (torch.cat(parts) / self.temperature).softmax(dim=1)
            if self.genders:
                probabilities = probabilities.unflatten(1, (2, len(self.labels))).sum(dim=1)
            values: NDArray[np.float32] = probabilities.numpy()
            return values

    def _logits(self, blocks: NDArray[Any]) -> Tensor:
        inputs = torch.from_numpy(standardize(blocks, self.standardization))
        logits: Tensor = self.module(inputs.to(self.device))
        return logits.float().cpu()

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": tensor for name, tensor in self.module.state_dict().items()}
        if self.standardization is not None:
            tensors |= dict(zip(STANDARDIZATION, map(torch.from_numpy, self.standardization), strict=True))
        checksum = store.write_tensors(folder, tensors)
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "kind": self.kind,
            "options": self.options,
            "features": self.features,
            "labels": list(self.labels),
            "genders": self.genders,
            "temperature": self.temperature,
            **self.card,
            "weights": {store.TENSORS: checksum},
        }
        store.write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> Network:
        """Read what `save` wrote.

        Raise WeightsUnavailable if a file is missing or damaged, or weights of VGGish or YAMNet that the network needs.
        """
        config, tensors = store.read_config(folder), store.read_tensors(folder)
        try:
            labels, genders, temperature = tuple(config["labels"]), config["genders"], float(config["temperature"])
            kind, features, options = config["kind"], config["features"], config["options"]
            shape = SHAPES[features]
            standardization = _pop_standardization(tensors, shape)
            module = build(kind, len(labels) * (2 if genders else 1), options)
            module.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
            if not isinstance(genders, bool) or not 0 < temperature < math.inf or not _accepts(module, shape):
                raise ValueError
            id = config["id"]
        except (KeyError, TypeError, ValueError, RuntimeError, InvalidSettings):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        if kind == "embedding-mlp":
            from ser_engine.papers.audioset import load_extractor

            load_extractor(features, settings)
        card = {key: value for key, value in config.items() if key not in CONFIG_KEYS}
        module.to(choose_device(settings))
        return cls(id, labels, kind, features, module, options, standardization, genders, temperature, settings, card)


def standardize(blocks: NDArray[Any], standardization: Standardization | None) -> NDArray[Any]:
    """Return blocks [n, k] minus the mean, divided by the deviation; a constant feature becomes 0."""
    if standardization is None:
        return blocks
    mean, deviation = standardization
    return ((blocks - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)


def _pop_standardization(tensors: dict[str, Tensor], shape: tuple[int, ...]) -> Standardization | None:
    """Remove mean and deviation from a network's tensors and return them, None if they are missing.

    Raises ValueError if they do not have the shape of a block, and KeyError if one of them is missing.
    """
    if not any(name in tensors for name in STANDARDIZATION):
        return None
    mean, deviation = (tensors.pop(name).numpy() for name in STANDARDIZATION)
    if mean.shape != shape or deviation.shape != shape:
        raise ValueError
    return mean, deviation


def _accepts(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether the module maps blocks of this shape to finite logits; raises RuntimeError or ValueError if not."""
    with torch.inference_mode():
        return bool(torch.isfinite(module.eval()(torch.zeros(1, *shape))).all())
