"""Tests of the 8-bit storage: what comes back, how close it is, and what is refused."""

import pytest
import torch

from ser_engine.models.quantization import MIN_SIZE, SCALE, dequantize, quantize


@pytest.fixture
def matrix() -> torch.Tensor:
    """Rows of very different size, as output channels have."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(96, 128, generator=generator) * torch.logspace(-6, 3, 96).unsqueeze(1)


def plain(rows: torch.Tensor) -> torch.Tensor:
    """Return what plain rounding to 127 steps of each row's largest magnitude gives."""
    scale = rows.abs().amax(dim=1, keepdim=True) / 127
    return (rows / scale).round() * scale


def test_every_weight_is_within_a_step_of_its_own_row(matrix):
    stored = quantize({"w": matrix})
    assert stored["w"].dtype == torch.int8
    assert stored["w" + SCALE].shape == (96,)
    back = dequantize(stored)
    assert set(back) == {"w"}
    assert back["w"].dtype == torch.float32
    signal, error = matrix.square().sum(dim=1), (back["w"] - matrix).square().sum(dim=1)
    assert (10 * torch.log10(signal / error)).min() > 38  # dB, in the smallest rows as in the largest
    assert ((back["w"] - matrix).abs().amax(dim=1) <= matrix.abs().amax(dim=1) / 50).all()


def test_no_row_is_worse_than_plain_rounding_and_rows_with_a_stray_weight_are_better():
    rows = torch.randn(64, 4096, generator=torch.Generator().manual_seed(1))
    rows[:, 0] = 12.0
    ours, naive = ((x - rows).square().sum(dim=1) for x in (dequantize(quantize({"w": rows}))["w"], plain(rows)))
    assert (ours <= naive * (1 + 1e-5)).all()
    assert ours.sum() < 0.98 * naive.sum()


def test_convolutions_have_a_scale_for_each_output_channel():
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(64, 32, 3, generator=generator) * torch.logspace(-3, 1, 64).view(-1, 1, 1)
    stored = quantize({"conv.weight": weight})
    assert stored["conv.weight"].dtype == torch.int8
    assert stored["conv.weight"].shape == weight.shape
    back = dequantize(stored)["conv.weight"]
    assert ((back - weight).flatten(1).norm(dim=1) < 0.02 * weight.flatten(1).norm(dim=1)).all()


def test_small_ones_vectors_and_kept_names_stay_float16(matrix):
    long_vector = torch.randn(MIN_SIZE * 2)
    stored = quantize({"bias": long_vector, "small": torch.ones(8, 8), "kept": matrix, "w": matrix}, keep=["kept"])
    assert {name: tensor.dtype for name, tensor in stored.items() if name not in ("w", "w" + SCALE)} == {
        "bias": torch.float16,
        "small": torch.float16,
        "kept": torch.float16,
    }
    back = dequantize(stored)
    assert torch.equal(back["bias"], long_vector.half().float())
    assert torch.equal(back["kept"], matrix.half().float())


def test_float16_in_float16_out_is_exact_and_others_become_float32():
    tensors = {
        "half": torch.randn(5).half(),
        "double": torch.randn(5, dtype=torch.float64),
        "count": torch.tensor([3, 4]),
        "mask": torch.tensor([True, False]),
        "huge": torch.tensor([1e6, -1.0]),
    }
    back = dequantize(quantize(tensors))
    assert torch.equal(back["half"], tensors["half"].float())
    assert back["double"].dtype == torch.float32
    assert torch.equal(back["count"], tensors["count"])
    assert torch.equal(back["mask"], tensors["mask"])
    assert torch.equal(back["huge"], tensors["huge"])  # float16 ends at 65504


def test_a_row_of_zeros_stays_zero(matrix):
    matrix[3] = 0
    back = dequantize(quantize({"w": matrix}))["w"]
    assert (back[3] == 0).all()
    assert torch.isfinite(back).all()


def test_large_matrices_are_worked_on_in_pieces_without_a_seam():
    wide = torch.randn(3, 1 << 20, generator=torch.Generator().manual_seed(2))
    tall = torch.randn(1 << 15, 48, generator=torch.Generator().manual_seed(3))
    for weight in (wide, tall):
        back = dequantize(quantize({"w": weight}))["w"]
        assert ((back - weight).norm(dim=1) < 0.02 * weight.norm(dim=1)).all()


def test_what_is_read_does_not_share_memory_with_what_is_stored():
    stored = {"plain": torch.ones(4), "count": torch.ones(2, dtype=torch.int64)}
    back = dequantize(stored)
    back["plain"].zero_()
    back["count"].zero_()
    assert stored["plain"].sum() == 4
    assert stored["count"].sum() == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(matrix, bad):
    matrix[5, 5] = bad
    with pytest.raises(ValueError, match="w holds weights that are NaN or infinite"):
        quantize({"w": matrix})


def test_names_that_would_be_misread_are_refused(matrix):
    with pytest.raises(ValueError, match=r"w\.scale"):
        quantize({"w": matrix, "w.scale": torch.ones(96)})
    with pytest.raises(ValueError, match="no tensor typo"):
        quantize({"w": matrix}, keep=["typo"])
    lone = {"norm.scale": torch.ones(4)}
    assert torch.equal(dequantize(quantize(lone))["norm.scale"], lone["norm.scale"])
