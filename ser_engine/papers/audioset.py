"""VGGish and YAMNet, trained on AudioSet to classify sounds; Islam (3.3.2) classifies their embeddings.

The networks are those that their authors publish (tensorflow/models, research/audioset: vggish/vggish_slim.py and
yamnet/yamnet.py). Their weights are not bundled: `papers.audioset_weights` converts them once into models/vggish and
models/yamnet.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models import store
from ser_engine.models.device import choose_device
from ser_engine.papers.audioset_patches import BANDS, PATCH_FRAMES, VGGISH, YAMNET, FrontEnd, patches
from ser_engine.papers.image_backbones import convolutions
from ser_engine.settings import Settings

ARCHITECTURE = "audio-embedding"
"""The architecture in config.json of such weights, which are not an emotion model."""
BATCH = 64
"""Patches that are computed at once."""

# Filters of VGGish's 3x3 convolutions; 0 is max pooling of 2x2.
VGGISH_FILTERS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
VGGISH_DENSE, VGGISH_EMBEDDING = 4096, 128

# Filters and strides of YAMNet's layers; the first is a plain convolution, the others are depthwise and pointwise ones.
YAMNET_LAYERS = (
    (32, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
YAMNET_CLASSES = 521
YAMNET_EPSILON = 1e-4

SOURCES = {
    "vggish": "vggish-10086976.pth from https://github.com/harritaylor/torchvggish/releases/tag/v0.1, or "
    "https://storage.googleapis.com/audioset/vggish_model.ckpt as .npz (see ser_engine/papers/audioset_weights.py)",
    "yamnet": "https://storage.googleapis.com/audioset/yamnet.h5",
}
"""The published weights of each network."""


class Extractor(nn.Module):
    """A network that computes one embedding for each patch of speech."""

    front_end: FrontEnd

    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 [patches, width] of mono float32 [n] at 16 kHz."""
        inputs = torch.from_numpy(patches(samples, self.front_end)).to(next(self.parameters()).device)
        with torch.inference_mode():
            embeddings: NDArray[np.float32] = torch.cat([self(part) for part in inputs.split(BATCH)]).cpu().numpy()
        return embeddings


class VGGish(Extractor):
    """Six convolutions and three dense layers (vggish); its embedding is linear, as published.

    Its tensors have the names of the port torchvggish.
    """

    front_end = VGGISH

    def __init__(
        self, filters: tuple[int, ...] = VGGISH_FILTERS, dense: int = VGGISH_DENSE, width: int = VGGISH_EMBEDDING
    ) -> None:
        super().__init__()
        self.features, channels = convolutions(1, filters)
        pools = list(filters).count(0)
        flat = channels * (PATCH_FRAMES >> pools) * (BANDS >> pools)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, dense), nn.ReLU(), nn.Linear(dense, dense), nn.ReLU(), nn.Linear(dense, width)
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Map patches float32 [batch, 96, 64] to embeddings [batch, 128]."""
        # TensorFlow flattens frames, bands, channels in this order.
        embeddings: Tensor = self.embeddings(self.features(levels.unsqueeze(1)).permute(0, 2, 3, 1).flatten(1))
        return embeddings


class Step(nn.Module):
    """A convolution without bias, batch norm and ReLU, padded as TensorFlow's "same" does."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=YAMNET_EPSILON)
        lacking = kernel - stride if kernel > stride else 0  # each side is even if the stride is 2
        self.padding = (lacking // 2, lacking - lacking // 2) * 2

    def forward(self, maps: Tensor) -> Tensor:
        """Map [batch, channels, frames, bands] to [batch, filters, frames / stride, bands / stride]."""
        return functional.relu(self.bn(self.conv(functional.pad(maps, self.padding))))


class YAMNet(Extractor):
    """MobileNet v1 on patches; its embedding is the mean over the last layer's maps.

    `layers` are the filters and strides of each; the last one's filters are the width of the embedding. `logits`, for
    AudioSet's own sounds, only belong to the published weights.
    """

    front_end = YAMNET

    def __init__(self, layers: tuple[tuple[int, int], ...] = YAMNET_LAYERS, classes: int = YAMNET_CLASSES) -> None:
        super().__init__()
        named: dict[str, nn.Module] = {}
        channels = 1
        for number, (count, stride) in enumerate(layers, start=1):
            if number == 1:
                steps: dict[str, nn.Module] = {"conv": Step(channels, count, 3, stride, 1)}
            else:
                steps = {
                    "depthwise_conv": Step(channels, channels, 3, stride, channels),
                    "pointwise_conv": Step(channels, count, 1, 1, 1),
                }
            named[f"layer{number}"] = nn.Sequential(OrderedDict(steps))
            channels = count
        self.layers = nn.Sequential(OrderedDict(named))
        self.logits = nn.Linear(channels, classes)

    def forward(self, levels: Tensor) -> Tensor:
        """Map patches float32 [batch, 96, 64] to embeddings [batch, 1024]."""
        maps: Tensor = self.layers(levels.unsqueeze(1))
        return maps.mean(dim=(2, 3))


EXTRACTORS: dict[str, type[VGGish] | type[YAMNet]] = {"vggish": VGGish, "yamnet": YAMNet}
"""The networks by name."""


def load_extractor(name: str, settings: Settings) -> Extractor:
    """Return "vggish" or "yamnet" with the weights in `settings.models_dir`; loaded once and shared.

    Raise WeightsUnavailable, which states where to get them, if they are missing, damaged or another network's.
    """
    if name not in EXTRACTORS:
        raise InvalidSettings(f"There are no embeddings “{name}”; there are {', '.join(EXTRACTORS)}.")
    folder = settings.models_dir / name
    if not (folder / store.CONFIG).is_file():
        raise WeightsUnavailable(
            f"The weights of {EXTRACTORS[name].__name__} are not on this computer: get {SOURCES[name]}, and run "
            f"“python -m ser_engine.papers.audioset_weights {name} FILE {folder}”."
        )
    extractor = _load(name, folder.resolve(), str(store.read_config(folder).get("weights")))
    return extractor.to(choose_device(settings))


@lru_cache(maxsize=2 * len(EXTRACTORS))
def _load(name: str, folder: Path, _checksum: str) -> Extractor:
    """Load a network once for each folder and checksum."""
    options, tensors = store.read_config(folder).get("options") or {}, store.read_tensors(folder)
    try:
        extractor = EXTRACTORS[name](**options)
        extractor.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError):
        raise WeightsUnavailable(f"{folder} does not contain the weights of {EXTRACTORS[name].__name__}.") from None
    return extractor.eval().requires_grad_(False)
