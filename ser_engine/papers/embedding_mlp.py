"""Islam's multi-layer perceptron on embeddings of VGGish or YAMNet (3.3.2)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class EmbeddingMLP(nn.Module):
    """Dense layers with ReLU, each followed by dropout.

    The paper states neither the activation nor the places of the dropout: both are the usual ones.
    `width` is that of an embedding, 128 for VGGish and 1024 for YAMNet; `hidden` of the paper is in table 4.
    """

    def __init__(
        self, outputs: int, width: int = 128, hidden: tuple[int, ...] = (1024, 512), dropout: float = 0.2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((width, *hidden)):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear((width, *hidden)[-1], outputs))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map embeddings float32 [batch, width] to logits [batch, outputs]."""
        logits: Tensor = self.layers(embeddings)
        return logits
