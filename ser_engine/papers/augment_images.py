"""Tiwari's image augmentation: "rotation, flipping, and elastic deformation" (III.C), "photometric alterations" (V).

The paper does not state their strengths; its table of epochs has the layout of fastai, so the figures are the defaults
of fastai's `aug_transforms` if it has one. A flip reverses the clip in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

FLIP = 0.5  # probability
ROTATION_DEG = 10.0  # at most, in either direction
LIGHTING = 0.2  # largest share by which brightness and contrast change
# fastai has no elastic deformation: a field of 4 x 4 random shifts, each of at most this share of the image's side,
# interpolated smoothly.
ELASTIC_CELLS, ELASTIC = 4, 0.05


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return augmented copies, float32 of 0 to 255, of images [batch, 3, h, w] of 0 to 255, each at random.

    `generator` is on the CPU, so that the same seed gives the same copies on any device. Beyond its edges, an image
    repeats them.
    """
    floats = images.float()
    moved = functional.grid_sample(floats, _grid(floats, generator), padding_mode="border", align_corners=False)
    brightness, contrast = (
        _uniform(len(images), LIGHTING, generator).view(-1, 1, 1, 1).to(images.device) for _ in range(2)
    )
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    return ((moved - mean) * (1 + contrast) + mean + 255 * brightness).clamp(0, 255)


def _grid(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the source of each pixel, [batch, h, w, 2] in -1..1: flipped, rotated and deformed."""
    count, _, height, width = images.shape
    angle = _uniform(count, math.radians(ROTATION_DEG), generator)
    flip = 1 - 2 * (torch.rand(count, generator=generator) < FLIP).float()
    sides = width / height  # without it, rotation would also shear
    zero = torch.zeros(count)
    rotation = torch.stack(
        [
            torch.stack([flip * angle.cos(), -flip * angle.sin() / sides, zero], dim=1),
            torch.stack([angle.sin() * sides, angle.cos(), zero], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(rotation, [count, 3, height, width], align_corners=False)
    shifts = _uniform(count * 2 * ELASTIC_CELLS**2, 2 * ELASTIC, generator)
    field = shifts.view(count, 2, ELASTIC_CELLS, ELASTIC_CELLS)
    smooth = functional.interpolate(field, (height, width), mode="bicubic", align_corners=True)
    return (grid + smooth.permute(0, 2, 3, 1)).to(images.device)


def _uniform(count: int, limit: float, generator: torch.Generator) -> Tensor:
    """Return float32 [count], uniform over -limit..limit."""
    return (2 * torch.rand(count, generator=generator) - 1) * limit


IMAGE_AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {"tiwari": augment}
"""The augmentations of images in training, by name."""
