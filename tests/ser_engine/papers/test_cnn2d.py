"""Gomes's CNN: the published number of parameters, Keras's pooling, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ser_engine.papers.cnn2d import CNN2D, pool

pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in CNN2D(8).parameters() if parameter.requires_grad) == 2_813_672


def test_its_blocks_leave_8_by_8_of_128_by_128() -> None:
    with torch.device("meta"):
        model = CNN2D(8)
        convolutions = [layer for layer in model.layers if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in convolutions] == [256, 256, 128, 64]
        assert {layer.kernel_size for layer in convolutions} == {(5, 5)}
        assert [layer.p for layer in model.layers if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
        before_flatten = next(i for i, layer in enumerate(model.layers) if isinstance(layer, nn.Flatten))
        assert model.layers[:before_flatten](torch.zeros(1, 3, 128, 128)).shape == (1, 64, 8, 8)


@pytest.mark.parametrize("size", [16, 10])
def test_pooling_takes_the_windows_that_keras_takes(size: int) -> None:
    images = np.random.default_rng(0).random((1, 1, size, size)).astype(np.float32)
    halved = -(-size // 2)
    before = ((halved - 1) * 2 + 5 - size) // 2  # where there is one too many to pad, it goes to the right and below
    expected = np.zeros((halved, halved), np.float32)
    for row in range(halved):
        for column in range(halved):
            top, left = row * 2 - before, column * 2 - before
            expected[row, column] = images[0, 0, max(0, top) : top + 5, max(0, left) : left + 5].max()
    np.testing.assert_array_equal(pool()(torch.from_numpy(images))[0, 0].numpy(), expected)


def test_an_image_scores_alone_as_in_a_batch_in_bytes_as_in_floats() -> None:
    model = CNN2D(8, size=32, filters=(8, 8, 8, 4)).eval()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(images.float()), model(images))


def test_it_learns_a_handful_of_images() -> None:
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8)
    model = CNN2D(8, size=32, filters=(16, 16, 16, 16), dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert (model.eval()(images).argmax(dim=1) == labels).all()
