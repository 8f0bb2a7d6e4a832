"""tiwari's image augmentation: "rotation, flipping, and elastic deformation" (III.C), "photometric alterations" (V).

How strong they are is open there; its table of epochs looks as fastai prints it, so the figures are the defaults of
fastai's `aug_transforms` where it has one. A flip turns the clip around in time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

FLIP = 0.5  # how often
ROTATION_DEG = 10.0  # at most, either way
LIGHTING = 0.2  # the share by which brightness and contrast change at most
# fastai has no elastic deformation: a field of 4 x 4 random shifts, of at most so much of the image's side, in between
# which the shifts pass smoothly.
ELASTIC_CELLS, ELASTIC = 4, 0.05


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return altered copies, float32 of 0 to 255, of images [batch, 3, h, w] of 0 to 255; each is altered on its own.

    `generator` is on the CPU, so that the same seed alters alike on any device. What is turned in from outside of an
    image repeats its edge.
    """
    floats = images.float()
    moved = functional.grid_sample(floats, _grid(floats, generator), padding_mode="border", align_corners=False)
    brightness, contrast = (
        _between(len(images), LIGHTING, generator).view(-1, 1, 1, 1).to(images.device) for _ in range(2)
    )
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    return ((moved - mean) * (1 + contrast) + mean + 255 * brightness).clamp(0, 255)


def _grid(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return where each pixel comes from, [batch, h, w, 2] in -1..1: flipped, rotated and deformed."""
    count, _, height, width = images.shape
    angle = _between(count, math.radians(ROTATION_DEG), generator)
    flip = 1 - 2 * (torch.rand(count, generator=generator) < FLIP).float()
    sides = width / height  # so that what is rotated is not sheared, too
    zero = torch.zeros(count)
    turned = torch.stack(
        [
            torch.stack([flip * angle.cos(), -flip * angle.sin() / sides, zero], dim=1),
            torch.stack([angle.sin() * sides, angle.cos(), zero], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(turned, [count, 3, height, width], align_corners=False)
    shifts = _between(count * 2 * ELASTIC_CELLS**2, 2 * ELASTIC, generator)
    field = shifts.view(count, 2, ELASTIC_CELLS, ELASTIC_CELLS)
    smooth = functional.interpolate(field, (height, width), mode="bicubic", align_corners=True)
    return (grid + smooth.permute(0, 2, 3, 1)).to(images.device)


def _between(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Return float32 [count], evenly spread over -most..most."""
    return (2 * torch.rand(count, generator=generator) - 1) * most
