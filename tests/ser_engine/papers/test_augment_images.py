"""Image augmentation: altered, within bounds, each image on its own, and the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from ser_engine.papers import augment_images
from ser_engine.papers.augment_images import augment


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradient(height: int = 40, width: int = 60) -> torch.Tensor:
    """Return an image that grows brighter to the right and, in another channel, downwards."""
    right = torch.linspace(0, 255, width).expand(height, width)
    down = torch.linspace(0, 255, height)[:, None].expand(height, width)
    return torch.stack([right, down, torch.full((height, width), 128.0)]).to(torch.uint8)


def test_the_same_seed_alters_alike_and_each_image_in_its_own_way() -> None:
    images = gradient().expand(6, 3, 40, 60)
    one = augment(images, seeded())
    assert one.shape == images.shape and one.dtype == torch.float32
    assert one.min() >= 0 and one.max() <= 255
    assert torch.equal(one, augment(images, seeded())) and not torch.equal(one, augment(images, seeded(1)))
    assert all(not torch.equal(one[0], other) for other in one[1:])


def test_half_of_the_images_are_turned_around_in_time_and_none_in_frequency() -> None:
    altered = augment(gradient().expand(200, 3, 40, 60), seeded())
    flipped = altered[:, 0, :, -15:].mean(dim=(1, 2)) < altered[:, 0, :, :15].mean(dim=(1, 2))
    assert 70 < int(flipped.sum()) < 130
    assert (altered[:, 1, -10:].mean(dim=(1, 2)) > altered[:, 1, :10].mean(dim=(1, 2))).all()


def test_without_any_strength_an_image_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLIP", "ROTATION_DEG", "LIGHTING", "ELASTIC"):
        monkeypatch.setattr(augment_images, name, 0.0)
    torch.testing.assert_close(augment(gradient()[None], seeded()), gradient()[None].float(), atol=0.05, rtol=0)


def test_rotation_turns_and_does_not_shear(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLIP", "LIGHTING", "ELASTIC"):
        monkeypatch.setattr(augment_images, name, 0.0)
    image = torch.zeros(1, 3, 41, 81)
    image[:, :, 20, :] = image[:, :, :, 40] = 255.0
    turned = augment(image, seeded(3))[0, 0]
    inside = turned[5:36, 25:56]  # whose arms reach to all four sides
    top, bottom = int(inside[0].argmax()) - 15, int(inside[-1].argmax()) - 15
    left, right = int(inside[:, 0].argmax()) - 15, int(inside[:, -1].argmax()) - 15
    assert top == pytest.approx(-bottom, abs=1) and left == pytest.approx(-right, abs=1)
    assert abs(top) == pytest.approx(abs(left), abs=1) and abs(top) >= 1
    assert top * left < 0  # one arm leans as far to the right as the other sinks


@pytest.mark.parametrize("name", ["LIGHTING", "ELASTIC"])
def test_each_of_the_others_alters_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in {"FLIP", "ROTATION_DEG", "LIGHTING", "ELASTIC"} - {name}:
        monkeypatch.setattr(augment_images, other, 0.0)
    difference = (augment(gradient()[None], seeded()) - gradient()).abs()
    assert difference.mean() > 1
    assert difference.max() <= 255 * (0.2 + 0.1 if name == "LIGHTING" else 0.25)
