"""The approximation of Tiwari's own network."""

from __future__ import annotations

import torch
from torch import nn

from ser_engine.papers.network import build
from ser_engine.papers.tiwari_cnn import TiwariCNN


def test_it_has_four_blocks_on_half_the_image() -> None:
    network = build("tiwari-cnn", 7)
    assert isinstance(network, TiwariCNN)
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.layers) == 4
    seen: list[torch.Size] = []
    convolutions[0].register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    assert network.eval()(torch.zeros(2, 3, 224, 224, dtype=torch.uint8)).shape == (2, 7)
    assert seen == [(2, 3, 112, 112)]


def test_it_learns_a_handful_of_images() -> None:
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8)
    network = TiwariCNN(8, filters=(16, 16), dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert (network(images).argmax(dim=1) == labels).all()
