"""Sharma's convolutional network on 94 acoustic features (III.C.2, table 5)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

# Table 5. Batch norm and dropout follow the second and the sixth convolution.
FILTERS = ((256, 256), (128, 128, 128, 128), (64, 64))
KERNEL, DROPOUT = 8, 0.6
# Padding "same" of an even kernel, as in Keras; torch's own does the same with a warning.
SAME = ((KERNEL - 1) // 2, KERNEL // 2)
# The widths of the two dense layers are missing in table 5.
DENSE = (256, 128)
# The strength of the "L1 and L2 regularization" is missing in III.C.2. These are the factors of Keras's own example.
L1, L2 = 1e-5, 1e-4


class CNN1D(nn.Module):
    """Eight 1D convolutions and three dense layers, on a vector of features as on a sequence.

    `filters` are those of each convolution in three groups, with batch norm and dropout between the groups; `dense` are
    the widths of the dense layers before the last.
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
        self.apply(initialize_as_keras)

    def forward(self, features: Tensor) -> Tensor:
        """Map standardized features float32 [batch, width] to logits [batch, outputs]."""
        logits: Tensor = self.layers(features.unsqueeze(1))
        return logits


def initialize_as_keras(layer: nn.Module) -> None:
    """Initialize a layer as Keras does, which the papers use: Glorot's uniform weights, biases of 0."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def penalty(model: nn.Module, l1: float = L1, l2: float = L2) -> Tensor:
    """Return the L1 and L2 penalty of all convolutions' and dense layers' weights, a term of the loss (III.C.2)."""
    kernels = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    return torch.stack([l1 * kernel.abs().sum() + l2 * kernel.square().sum() for kernel in kernels]).sum()
