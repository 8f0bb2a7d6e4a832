"""Networks for photographs, on images of speech: MobileNetV2, VGG16, ResNet50V2 and ResNet-34.

Their bodies are those of transformers if it has them. Each maps images [batch, 3, h, w] of 0 to 255 to logits, and
scales them as its ImageNet weights require. These weights are optional: see `load_imagenet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BitConfig, BitModel, MobileNetV2Config, MobileNetV2Model, ResNetConfig, ResNetModel

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.encoder_files import EncoderFiles, locate
from ser_engine.models.encoder_reference import HUB_ID, EncoderReference
from ser_engine.models.encoders import UNREADABLE
from ser_engine.models.store import TENSORS, sha256
from ser_engine.settings import Settings

# Mean and deviation of ImageNet's colors, with which ResNet-34's and VGG16's public weights were trained; the others
# were trained on -1..1.
IMAGENET_COLORS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Gomes, IV.A: "we normalized the images by dividing them by 255", and no more.
ZERO_TO_ONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

# Simonyan and Zisserman (2015), table 1, column D: filters of 3x3 convolutions; 0 is max pooling of 2x2.
VGG16_FILTERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def convolutions(channels: int, filters: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Return 3x3 convolutions of so many filters, 0 for max pooling of 2x2, and the channels that they lead to."""
    layers: list[nn.Module] = []
    for count in filters:
        layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU()] if count else [nn.MaxPool2d(2)]
        channels = count or channels
    return nn.Sequential(*layers), channels


class ImageNetwork(nn.Module):
    """A body, which maps an image to channels, and a head, which maps these to logits.

    `body` is a transformers model with a pooler, or plain layers; `colors` are the mean and deviation that it expects
    of each channel, for images of 0..1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, head: nn.Module, colors: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        super().__init__()
        self.body, self.head = body, head
        for name, values in zip(("mean", "deviation"), colors, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.frozen = False

    def forward(self, images: Tensor) -> Tensor:
        """Map images [batch, 3, h, w] of 0 to 255, uint8 or float, to logits [batch, outputs]."""
        output = self.body((images.float() / 255 - self.mean) / self.deviation)
        logits: Tensor = self.head(output if isinstance(output, Tensor) else output.pooler_output)
        return logits

    def freeze_body(self) -> None:
        """Exclude the body from training."""
        self.frozen = True
        self.body.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ImageNetwork:
        """Set the mode; a frozen body stays in evaluation mode, which keeps its batch statistics."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self


class MobileNetV2(ImageNetwork):
    """MobileNetV2 (mobilenetv2) with one linear layer: Sharma, III.C.1, "fine-tuned" as a whole.

    `depth_multiplier` scales its channels; the paper does not state the optimizer, its rate and the dropout.
    """

    def __init__(self, outputs: int, depth_multiplier: float = 1.0, dropout: float = 0.2) -> None:
        body = MobileNetV2Model(MobileNetV2Config(depth_multiplier=depth_multiplier))
        head = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(body.conv_1x1.convolution.out_channels, outputs)
        )
        super().__init__(body, head, PLUS_MINUS_ONE)


class VGG16(ImageNetwork):
    """VGG16's convolutions (vgg), flattened into one linear layer: Islam, 3.3.1 (224 x 224); Gomes, IV.B (128 x 128).

    Gomes: include_top=False, a dropout of 0.5, the ImageNet weights unchanged (the paper's own network of 2.8 million
    parameters "needs to learn a higher number"), so `freeze_body()`. Islam: no dropout (table 7); the sentences about
    "the last three layers" contradict each other, and are understood here as: VGG16's own three dense layers are left
    out, and all convolutions are fine-tuned at 1e-5.

    `normalized` images have the mean and deviation with which the public weights were trained; others are 0..1.
    `size` is an image's height and width, a multiple of 32; `filters` are those of each convolution, 0 for pooling.
    """

    def __init__(
        self,
        outputs: int,
        size: int = 224,
        dropout: float = 0.0,
        filters: tuple[int, ...] = VGG16_FILTERS,
        normalized: bool = True,
    ) -> None:
        body, channels = convolutions(3, filters)
        side = size >> list(filters).count(0)
        head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * side * side, outputs))
        super().__init__(body, head, IMAGENET_COLORS if normalized else ZERO_TO_ONE)
        for layer in body:
            if isinstance(layer, nn.Conv2d):  # without batch norm, the signal vanishes with torch's own initialization
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, layer.bias))


class ResNet50V2(ImageNetwork):
    """A pre-activation ResNet-50 (resnetv2) with a dense layer of 1,024 and dropout of 0.4: Islam, 3.3.1.

    The body is frozen in the paper: `freeze_body()`. It is transformers' BiT, which has group norm and standardized
    weights in place of batch norm; there is no port of Keras's own to torch.
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
    """ResNet-34 (resnet) with one linear layer: Tiwari, IV.A, which states transfer learning and nothing else.

    `depths` and `widths` are the layers and channels of its four stages.
    """

    def __init__(
        self,
        outputs: int,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        stem: int = 64,
    ) -> None:
        config = ResNetConfig(layer_type="basic", depths=list(depths), hidden_sizes=list(widths), embedding_size=stem)
        head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1], outputs))
        super().__init__(ResNetModel(config), head, IMAGENET_COLORS)


IMAGENET = {
    MobileNetV2: ("google/mobilenet_v2_1.0_224", "mobilenet_v2."),
    VGG16: ("timm/vgg16.tv_in1k", "features."),
    ResNet50V2: ("google/bit-50", "bit."),
    ResNet34: ("microsoft/resnet-34", "resnet."),
}
"""The weights of each network: the id on the Hugging Face hub, and the prefix of the body's tensors."""

WEIGHTS = (TENSORS, "pytorch_model.bin")


def load_imagenet(network: ImageNetwork, source: str | Path, settings: Settings) -> dict[str, str]:
    """Load ImageNet weights into a network's body, whose head stays as it is; return their commit and checksum.

    `source` is a local folder with model.safetensors, a .safetensors or .pth file, or "id" or "id@commit" of the
    Hugging Face hub, whose files may also lie in models/encoders/<id>. Nothing is downloaded unless
    `settings.allow_download`.
    Raise WeightsUnavailable if the weights are missing, may not be downloaded, or do not fit the network.
    """
    published, prefix = IMAGENET[type(network)]
    file, commit = _find_weights(source, published, settings)
    tensors = _load_tensors(file)
    # A body that was stored by itself has no prefix; older files lack batch norm's counters.
    body = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)} or tensors
    counters = {name: t for name, t in network.body.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.body.load_state_dict(counters | body)
    except RuntimeError:
        raise WeightsUnavailable(f"{file} does not contain the weights of a {type(network).__name__}.") from None
    return {"commit": commit, "sha256": sha256(file)}


def _find_weights(source: str | Path, published: str, settings: Settings) -> tuple[Path, str]:
    """Return the file of weights that `source` names, and its commit if it is the hub's."""
    local = Path(source).expanduser()
    if local.is_file():
        return local, ""
    if local.is_dir():
        files = EncoderFiles(local, EncoderReference(str(local)))
    else:
        reference = EncoderReference.parse(str(source))
        if not HUB_ID.fullmatch(reference.id):
            raise WeightsUnavailable(
                f"{source} is neither a folder nor an id of the Hugging Face hub; {published} has the weights for this "
                "network."
            )
        files = locate(reference, settings, WEIGHTS)
    for name in WEIGHTS:
        if (files.folder / name).is_file():
            return files.folder / name, files.reference.revision
    raise WeightsUnavailable(f"{files.folder} contains no {TENSORS} with ImageNet weights.")


def _load_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or of a torch file; no code in it is run."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        stored: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        if not all(isinstance(value, Tensor) for value in stored.values()):
            raise ValueError
    except UNREADABLE:
        raise WeightsUnavailable(f"{file} cannot be read as weights.") from None
    return stored
