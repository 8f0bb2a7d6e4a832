"""Networks made for photographs, on images of speech: MobileNetV2, VGG16, ResNet50V2 and ResNet-34.

Their bodies are transformers' where it has them. Each maps images [batch, 3, h, w] of 0 to 255 to logits; how it scales
them is what its ImageNet weights were trained with. Those weights are optional: see `load_imagenet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.settings import Settings, variable

TRAINABLE = ("all", "head")
# Mean and deviation of ImageNet's colours, with which ResNet-34's and VGG16's public weights were trained; the others
# were trained on -1..1.
IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# Simonyan and Zisserman (2015), table 1, column D: filters of 3x3 convolutions; 0 is max pooling of 2x2.
VGG16_FILTERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)

# paper-3, table 3: Adam, both networks.
PAPER_3_LEARNING_RATE, PAPER_3_BATCH = 1e-5, 64
# paper-4, IV.D: Adam; ended when the validation loss has not improved in 10 epochs.
PAPER_4_LEARNING_RATE, PAPER_4_BATCH, PAPER_4_EPOCHS, PAPER_4_PATIENCE = 5e-5, 32, 100, 10


class ImageNetwork(nn.Module):
    """A body that makes channels of an image, and a head that makes logits of them.

    Parameters
    ----------
    body : one of transformers' models with a pooler, or plain layers
    head : what follows
    colours : mean and deviation of each channel, of images of 0..1, which the body expects
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, head: nn.Module, colours: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        super().__init__()
        self.body, self.head = body, head
        for name, values in zip(("mean", "deviation"), colours, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.frozen = False

    def forward(self, images: Tensor) -> Tensor:
        """Map images [batch, 3, h, w] of 0 to 255, uint8 or float, to logits [batch, outputs]."""
        made = self.body((images.float() / 255 - self.mean) / self.deviation)
        return self.head(made if isinstance(made, Tensor) else made.pooler_output)

    def freeze(self, trainable: str) -> None:
        """Have training change everything ("all") or the head only ("head")."""
        if trainable not in TRAINABLE:
            raise InvalidSettings(f"What is trained of a network is one of {', '.join(TRAINABLE)}, not “{trainable}”.")
        self.frozen = trainable == "head"
        self.body.requires_grad_(not self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> ImageNetwork:
        """Set the mode; a frozen body keeps its batch statistics, too."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self


class MobileNetV2(ImageNetwork):
    """MobileNetV2 with one linear layer: paper-1, III.C.1, "fine-tuned" as a whole.

    `depth_multiplier` scales its channels; optimiser, rate and dropout are open in the paper.
    """

    def __init__(self, outputs: int, depth_multiplier: float = 1.0, dropout: float = 0.2) -> None:
        from transformers import MobileNetV2Config, MobileNetV2Model

        body = MobileNetV2Model(MobileNetV2Config(depth_multiplier=depth_multiplier))
        head = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(body.conv_1x1.convolution.out_channels, outputs)
        )
        super().__init__(body, head, PLUS_MINUS_ONE)


class VGG16(ImageNetwork):
    """VGG16's convolutions, flattened into one linear layer: paper-3, 3.3.1 (224 x 224), and paper-4, IV.B (128 x 128).

    paper-4: include_top=False, a dropout of 0.5, the ImageNet weights left as they are (its own network of 2.8 million
    parameters "needs to learn a higher number"), so `freeze("head")`. paper-3: no dropout (table 7); what it says of
    "the last three layers" contradicts itself, and is read here as: VGG16's own three dense layers are left out, and
    all convolutions are fine-tuned at 1e-5.

    `size` is an image's height and width, a multiple of 32; `filters` are those of each convolution, 0 for pooling.
    """

    def __init__(
        self, outputs: int, size: int = 224, dropout: float = 0.0, filters: tuple[int, ...] = VGG16_FILTERS
    ) -> None:
        layers: list[nn.Module] = []
        channels, left = 3, size
        for count in filters:
            if count:
                layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU()]
                channels = count
            else:
                layers.append(nn.MaxPool2d(2))
                left //= 2
        head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * left * left, outputs))
        super().__init__(nn.Sequential(*layers), head, IMAGENET_COLOURS)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):  # without batch norm, torch's own start lets the signal die away
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, layer.bias))


class ResNet50V2(ImageNetwork):
    """A pre-activation ResNet-50 with a dense layer of 1,024 and dropout of 0.4: paper-3, 3.3.1.

    The body is frozen in the paper: `freeze("head")`. It is transformers' BiT, He et al.'s second residual network with
    group norm and standardised weights in the place of batch norm; Keras's own is not to be had in torch.
    `depths` and `widths` are the layers and channels of its four stages, `groups` those of a norm.
    """

    def __init__(
        self,
        outputs: int,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        widths: tuple[int, ...] = (256, 512, 1024, 2048),
        stem: int = 64,
        groups: int = 32,
        dense: int = 1024,
        dropout: float = 0.4,
    ) -> None:
        from transformers import BitConfig, BitModel

        config = BitConfig(
            layer_type="preactivation",
            depths=list(depths),
            hidden_sizes=list(widths),
            embedding_size=stem,
            num_groups=groups,
        )
        head = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1], dense), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dense, outputs)
        )
        super().__init__(BitModel(config), head, PLUS_MINUS_ONE)


class ResNet34(ImageNetwork):
    """ResNet-34 with one linear layer: paper-5, IV.A, transfer learning, whatever else is open.

    `depths` and `widths` are the layers and channels of its four stages.
    """

    def __init__(
        self,
        outputs: int,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        stem: int = 64,
    ) -> None:
        from transformers import ResNetConfig, ResNetModel

        config = ResNetConfig(layer_type="basic", depths=list(depths), hidden_sizes=list(widths), embedding_size=stem)
        head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1], outputs))
        super().__init__(ResNetModel(config), head, IMAGENET_COLOURS)


# --- ImageNet -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """Public ImageNet weights of one kind: id on the Hugging Face hub, and what their tensors' names begin with."""

    hub: str
    prefix: str


IMAGENET = {
    MobileNetV2: Published("google/mobilenet_v2_1.0_224", "mobilenet_v2."),
    VGG16: Published("timm/vgg16.tv_in1k", "features."),
    ResNet50V2: Published("google/bit-50", "bit."),
    ResNet34: Published("microsoft/resnet-34", "resnet."),
}
"""Where the weights are. A commit of the repository is for the user to name, so that they never change underneath."""


def load_imagenet(network: ImageNetwork, source: str | Path, settings: Settings) -> None:
    """Give a network's body ImageNet weights; its head stays as it is.

    `source` is a local folder with model.safetensors, a .safetensors or .pth file, or "id@revision" of the Hugging Face
    hub, where the revision is a commit. The hub is asked only if `settings.allow_download` says so.

    Raises
    ------
    WeightsUnavailable
        They are not there, may not be fetched, or do not fit the network.
    """
    published = IMAGENET[type(network)]
    file = _find(source, published, settings)
    found = _read(file)
    inside = {name.removeprefix(published.prefix): t for name, t in found.items() if name.startswith(published.prefix)}
    # A body that was stored on its own has no prefix; batch norm's counters are in none of the older files.
    inside = inside or found
    counters = {name: t for name, t in network.body.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.body.load_state_dict(counters | inside)
    except RuntimeError:
        raise WeightsUnavailable(f"{file} does not hold the weights of a {type(network).__name__}.") from None


def _find(source: str | Path, published: Published, settings: Settings) -> Path:
    """Return the file of weights that `source` names."""
    local = Path(source).expanduser()
    if local.is_file():
        return local
    if local.is_dir():
        if (file := local / "model.safetensors").is_file():
            return file
        raise WeightsUnavailable(f"{local} holds no model.safetensors with ImageNet weights.")
    hub, _, revision = str(source).partition("@")
    if not revision:
        raise WeightsUnavailable(
            f"{source} is no folder, and as an id of the Hugging Face hub it needs a revision: “{hub}@” and the commit "
            f"that is wanted; {published.hub} has the weights that this network was made for."
        )
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(hub, "model.safetensors", revision=revision, local_files_only=not settings.allow_download)
    except (OSError, ValueError):
        found = None
    if found is None:
        raise WeightsUnavailable(
            f"The ImageNet weights {source} are not on this computer"
            + (
                " and could not be fetched"
                if settings.allow_download
                else f"; {variable('allow_download')}=1 lets them be fetched"
            )
            + f", or give the folder of a copy of {hub}."
        )
    return Path(found)


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or of a torch file, which is read without running any code in it."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        stored: Any = torch.load(file, map_location="cpu", weights_only=True)
        if isinstance(stored, dict) and all(isinstance(value, Tensor) for value in stored.values()):
            return stored
    except (OSError, RuntimeError, EOFError, SafetensorError, UnpicklingError):
        pass
    raise WeightsUnavailable(f"{file} cannot be read as weights.")
