"""An approximation of Tiwari's own network (IV.B): the figure that defines it is not in the paper's text.

The text says: a convolutional network for spectrogram images, "strategically layered", with "precise activation and
normalization techniques". This is the plainest network of that description: blocks of 3 x 3 convolution, batch norm,
ReLU and pooling with doubled filters, a mean over what is left, dropout and one linear layer.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

FILTERS, KERNEL, DROPOUT = (32, 64, 128, 256), 3, 0.5
# V: augmentation also serves to "significantly reduce the dimensional footprint of the input images": 224 x 224 pixels
# become 112 x 112.
REDUCED = 2


class TiwariCNN(nn.Module):
    """Four blocks of convolution, batch norm, ReLU and pooling, and one linear layer; an approximation."""

    def __init__(self, outputs: int, filters: tuple[int, ...] = FILTERS, dropout: float = DROPOUT) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *filters)):
            convolution = nn.Conv2d(before, after, KERNEL, padding="same", bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(filters[-1], outputs)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [batch, 3, h, w] of 0 to 255, uint8 or float, to logits [batch, outputs]."""
        logits: Tensor = self.layers(functional.avg_pool2d(images.float() / 255, REDUCED))
        return logits
