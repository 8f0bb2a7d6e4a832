"""VGGish and YAMNet, trained on AudioSet to name sounds; paper-3 (3.3.2) classifies their embeddings.

The networks are those that their authors publish (tensorflow/models, research/audioset: vggish/vggish_slim.py and
yamnet/yamnet.py). The weights are not ours to bundle: `models.audioset_weights` converts them once into
models/vggish and models/yamnet.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.store import CONFIG, read_config, read_tensors
from ser_engine.papers.audioset_patches import BANDS, PATCH_FRAMES, VGGISH, YAMNET, FrontEnd, patches
from ser_engine.settings import Settings

ARCHITECTURE = "audio-embedding"
"""Of the folders that hold such weights; they are no emotion models."""

# Patches that go through a network at once.
BATCH = 64

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


class Extractor(nn.Module):
    """A network that makes one embedding of each patch of speech."""

    front_end: FrontEnd

    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 [patches, width] of mono float32 [n] at 16 kHz."""
        made = torch.from_numpy(patches(samples, self.front_end))
        device = next(self.parameters()).device
        with torch.inference_mode():
            parts = [self(part.to(device)).cpu() for part in made.split(BATCH)]
        return torch.cat(parts).numpy()


class VGGish(Extractor):
    """Six convolutions and three dense layers (Hershey et al. 2017); its embedding is linear, as published.

    The names of its tensors are those of the port torchvggish. `filters` and `dense` make smaller ones.
    """

    front_end = VGGISH

    def __init__(
        self,
        filters: tuple[int, ...] = VGGISH_FILTERS,
        dense: int = VGGISH_DENSE,
        width: int = VGGISH_EMBEDDING,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, pools = 1, 0
        for count in filters:
            layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU()] if count else [nn.MaxPool2d(2)]
            channels, pools = count or channels, pools + (not count)
        self.features = nn.Sequential(*layers)
        flat = channels * (PATCH_FRAMES >> pools) * (BANDS >> pools)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, dense), nn.ReLU(), nn.Linear(dense, dense), nn.ReLU(), nn.Linear(dense, width)
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Map patches float32 [batch, 96, 64] to embeddings [batch, 128]."""
        # TensorFlow flattens frames, bands, channels in this order.
        return self.embeddings(self.features(levels.unsqueeze(1)).permute(0, 2, 3, 1).flatten(1))


class Step(nn.Module):
    """A convolution without bias, batch norm and ReLU, padded as TensorFlow's "same" does."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=YAMNET_EPSILON)
        lacking = kernel - stride if kernel > stride else 0  # each side is even where the stride is 2
        self.padding = (lacking // 2, lacking - lacking // 2) * 2

    def forward(self, maps: Tensor) -> Tensor:
        """Map [batch, channels, frames, bands] to [batch, filters, frames / stride, bands / stride]."""
        return functional.relu(self.bn(self.conv(functional.pad(maps, self.padding))))


class YAMNet(Extractor):
    """MobileNet v1 on patches; its embedding is the mean over the last layer's maps.

    `layers` (filters, stride) make smaller ones, of whatever width the last has.
    """

    front_end = YAMNET

    def __init__(self, layers: tuple[tuple[int, int], ...] = YAMNET_LAYERS, classes: int = YAMNET_CLASSES) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        channels = 1
        for number, (count, stride) in enumerate(layers, start=1):
            if number == 1:
                steps = {"conv": Step(channels, count, 3, stride, 1)}
            else:
                steps = {
                    "depthwise_conv": Step(channels, channels, 3, stride, channels),
                    "pointwise_conv": Step(channels, count, 1, 1, 1),
                }
            self.layers[f"layer{number}"] = nn.ModuleDict(steps)
            channels = count
        self.logits = nn.Linear(channels, classes)

    def forward(self, levels: Tensor) -> Tensor:
        """Map patches float32 [batch, 96, 64] to embeddings [batch, 1024]."""
        maps = levels.unsqueeze(1)
        for step in self.layers.values():
            for part in step.values():  # type: ignore[operator]
                maps = part(maps)
        return maps.mean(dim=(2, 3))

    def classify(self, embeddings: Tensor) -> Tensor:
        """Map embeddings [batch, 1024] to the probabilities of AudioSet's sounds [batch, 521], each on its own."""
        return self.logits(embeddings).sigmoid()


EXTRACTORS: dict[str, type[VGGish] | type[YAMNet]] = {"vggish": VGGish, "yamnet": YAMNet}

_LOADED: dict[tuple[str, Path, str], Extractor] = {}
_LOADING = threading.Lock()


def load_extractor(name: str, settings: Settings) -> Extractor:
    """Return "vggish" or "yamnet" with the weights in `settings.models_dir`, the same one to all who ask.

    Raises
    ------
    WeightsUnavailable
        They are not there, damaged, or not those of that network; the text says where to get them and what to do.
    InvalidSettings
        There is no such network.
    """
    if name not in EXTRACTORS:
        raise InvalidSettings(f"There are no embeddings “{name}”; there are {', '.join(EXTRACTORS)}.")
    folder = settings.models_dir / name
    if not (folder / CONFIG).is_file():
        from ser_engine.papers.audioset_weights import WHERE

        raise WeightsUnavailable(
            f"The weights of {EXTRACTORS[name].__name__} are not on this computer: get {WHERE[name]}, and run "
            f"“python -m ser_engine.papers.audioset_weights {name} FILE {folder}”."
        )
    config = read_config(folder)
    key = (name, folder.resolve(), str(config.get("weights")))
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = _load(name, folder, config.get("options"))
        return _LOADED[key]


def _load(name: str, folder: Path, options: object) -> Extractor:
    tensors = read_tensors(folder)
    try:
        extractor = EXTRACTORS[name](**(options if isinstance(options, dict) else {}))
        extractor.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError):
        raise WeightsUnavailable(f"{folder} does not hold the weights of {EXTRACTORS[name].__name__}.") from None
    return extractor.eval().requires_grad_(False)
