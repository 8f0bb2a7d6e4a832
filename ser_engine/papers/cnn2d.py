"""Gomes's convolutional network on mel spectrograms as images (IV.C); it has 2,813,672 parameters."""

from __future__ import annotations

from torch import Tensor, nn

from ser_engine.papers.cnn1d import initialize_as_keras

# IV.C: filters, "5x5 kernel size", "strides of 1 and padding set as same", pooling over "a cluster of 5x5".
FILTERS, KERNEL, POOL = (256, 256, 128, 64), 5, 5
# Missing in the text, but they lead to the published number of parameters: pooling at stride 2 leaves 8 x 8 of
# 128 x 128, and a dense layer of 32 lies between them and the output.
STRIDE, DENSE = 2, 32
# "Two dropout layers of 0.3": before the last block and before the output, as in the network that this one resembles
# (filters 256, 256, 128, 64, dense layer 32, on vectors).
DROPOUT = 0.3


def pool() -> nn.MaxPool2d:
    """Return max pooling that halves an even number of rows and columns, as Keras's padding "same" does."""
    return nn.MaxPool2d(POOL, STRIDE, padding=1, ceil_mode=True)


class CNN2D(nn.Module):
    """Four blocks of convolution and pooling, and two dense layers.

    `size`, the side of an image, is a multiple of 16; dropout is before the last block and before the output.
    """

    def __init__(
        self,
        outputs: int,
        size: int = 128,
        filters: tuple[int, ...] = FILTERS,
        dense: int = DENSE,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, count in enumerate(filters, start=1):
            if number == len(filters):
                layers.append(nn.Dropout(dropout))
            layers += [nn.Conv2d(channels, count, KERNEL, padding="same"), nn.ReLU(), pool()]
            channels = count
        side = size // STRIDE ** len(filters)
        layers += [nn.Flatten(), nn.Linear(channels * side * side, dense), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(dense, outputs))
        self.apply(initialize_as_keras)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [batch, 3, size, size] of 0 to 255, uint8 or float, to logits [batch, outputs].

        IV.A: "we normalized the images by dividing them by 255".
        """
        logits: Tensor = self.layers(images.float() / 255)
        return logits
