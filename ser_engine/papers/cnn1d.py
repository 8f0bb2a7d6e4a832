"""sharma's convolutional network on its 94 acoustic features (III.C.2, table 5)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

FEATURES = "acoustic94"
"""What it listens to (III.B): 94 values, standardised; the network slides along them as along a sequence."""

# Table 5. Batch norm and dropout follow the second and the sixth convolution.
FILTERS = ((256, 256), (128, 128, 128, 128), (64, 64))
KERNEL, DROPOUT = 8, 0.6
# Padding "same" of an even kernel, as Keras has it; torch's own does it with a warning.
SAME = ((KERNEL - 1) // 2, KERNEL // 2)
# III.C.2: "trained for 10 epochs using categorical cross entropy". Optimiser, rate and batch are open: Keras's usual.
EPOCHS, LEARNING_RATE, BATCH = 10, 1e-3, 32
# Open in table 5: the widths of the two dense layers.
DENSE = (256, 128)
# Open in III.C.2: how strong its "L1 and L2 regularization" is. These are the factors of Keras's own example.
L1, L2 = 1e-5, 1e-4


class CNN1D(nn.Module):
    """Eight 1D convolutions and three dense layers (paper-1, table 5), on a vector of features.

    Parameters
    ----------
    outputs : emotions
    width : features in a vector
    filters : of each convolution, in three groups; batch norm and dropout stand between the groups
    dense : widths of the two dense layers before the last
    dropout : after each group but the last, and before the output
    """

    def __init__(
        self,
        outputs: int,
        width: int = 94,
        filters: tuple[tuple[int, ...], ...] = FILTERS,
        dense: tuple[int, ...] = DENSE,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for number, group in enumerate(filters):
            if number:
                layers += [nn.BatchNorm1d(channels), nn.Dropout(dropout)]
            for count in group:
                layers += [nn.ZeroPad1d(SAME), nn.Conv1d(channels, count, KERNEL), nn.ReLU()]
                channels = count
        layers.append(nn.Flatten())
        for before, after in pairwise((channels * width, *dense)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear((channels * width, *dense)[-1], outputs))
        self.apply(start_as_keras)

    def forward(self, features: Tensor) -> Tensor:
        """Map standardised features float32 [batch, width] to logits [batch, outputs]."""
        return self.layers(features.unsqueeze(1))


def start_as_keras(layer: nn.Module) -> None:
    """Give a new layer the values that Keras starts from, as the papers did: Glorot's uniform ones, biases of 0."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def penalty(model: nn.Module, l1: float = L1, l2: float = L2) -> Tensor:
    """Return what training adds to the loss (III.C.2): L1 and L2 of every convolution's and dense layer's weights."""
    kernels = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    return torch.stack([l1 * kernel.abs().sum() + l2 * kernel.square().sum() for kernel in kernels]).sum()
