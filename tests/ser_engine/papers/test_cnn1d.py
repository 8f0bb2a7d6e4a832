"""Sharma's CNN-1D: its table, layer by layer, its penalty, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ser_engine.papers.cnn1d import CNN1D, penalty

pytestmark = pytest.mark.usefixtures("one_thread")


def described(layer: nn.Module) -> str:
    match layer:
        case nn.Conv1d():
            assert layer.kernel_size == (8,) and layer.padding == (0,) and layer.stride == (1,)
            return f"conv {layer.out_channels}"
        case nn.ZeroPad1d():
            assert layer.padding == (3, 4)
            return "pad"
        case nn.Linear():
            return "dense"
        case nn.Dropout():
            return f"dropout {layer.p}"
    return type(layer).__name__.lower()


def test_the_layers_are_those_of_table_5_in_its_order() -> None:
    assert [described(layer) for layer in CNN1D(7).layers] == [
        *["pad", "conv 256", "relu"] * 2,
        *["batchnorm1d", "dropout 0.6"],
        *["pad", "conv 128", "relu"] * 4,
        *["batchnorm1d", "dropout 0.6"],
        *["pad", "conv 64", "relu"] * 2,
        "flatten",
        *["dense", "relu"] * 2,
        *["dropout 0.6", "dense"],
    ]
    assert CNN1D(7).layers[-1].out_features == 7


def test_same_keeps_all_94_positions() -> None:
    model = CNN1D(7).eval()
    before_flatten = next(i for i, layer in enumerate(model.layers) if isinstance(layer, nn.Flatten))
    assert model.layers[:before_flatten](torch.randn(2, 1, 94)).shape == (2, 64, 94)
    assert model(torch.randn(2, 94)).shape == (2, 7)


def test_a_clip_scores_alone_as_in_a_batch() -> None:
    model, batch = CNN1D(7).eval(), torch.randn(5, 94)
    alone = torch.cat([model(row[None]) for row in batch])
    torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-5)


def test_the_penalty_is_l1_and_l2_of_the_weights_and_of_no_bias_or_batch_norm() -> None:
    model = CNN1D(3, width=6, filters=((2,), (2,)), dense=(4,))
    for name, parameter in model.named_parameters():
        nn.init.constant_(parameter, 0.5 if name.endswith("weight") and parameter.ndim > 1 else 100.0)
    count = 1 * 2 * 8 + 2 * 2 * 8 + 12 * 4 + 4 * 3
    assert penalty(model, l1=0.1, l2=0.0).item() == pytest.approx(0.1 * 0.5 * count)
    assert penalty(model, l1=0.0, l2=0.1).item() == pytest.approx(0.1 * 0.25 * count)
    penalty(model).backward()
    assert model.layers[1].weight.grad is not None and model.layers[1].bias.grad is None


def test_it_learns_a_handful_of_vectors() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(14, 20), torch.arange(14) % 7
    model = CNN1D(7, width=20, filters=((8, 8), (8,), (8,)), dense=(32, 16), dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = nn.functional.cross_entropy(model(features), labels) + penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model.eval()(features).argmax(dim=1) == labels).all()
