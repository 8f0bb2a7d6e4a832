"""Networks for photographs: their published sizes, frozen bodies, and ImageNet weights, right and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.store import sha256
from ser_engine.papers.image_backbones import VGG16, ImageNetwork, MobileNetV2, ResNet34, ResNet50V2, load_imagenet

# Kind → options of a tiny one, and the side of its images.
TINY: dict[type[ImageNetwork], tuple[dict[str, Any], int]] = {
    MobileNetV2: ({"depth_multiplier": 0.1, "dropout": 0.0}, 65),
    VGG16: ({"size": 32, "filters": (8, 0, 8, 8, 0, 8, 0, 8, 0, 8, 0)}, 32),
    ResNet50V2: ({"depths": (1, 1), "widths": (32, 64), "stem": 8, "groups": 4, "dense": 16, "dropout": 0.0}, 48),
    ResNet34: ({"depths": (1, 1), "widths": (8, 16), "stem": 8}, 48),
}
EACH = pytest.mark.parametrize("kind", list(TINY), ids=lambda kind: kind.__name__)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tiny(kind: type[ImageNetwork], outputs: int = 4) -> ImageNetwork:
    return kind(outputs, **TINY[kind][0])  # type: ignore[call-arg, arg-type]


def images(kind: type[ImageNetwork], count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, TINY[kind][1], TINY[kind][1]), dtype=torch.uint8)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_bodies_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        # MobileNetV2 3,504,872, ResNet-34 21,797,672, BiT's ResNet-50 25,549,352, all with 1,000 classes of ImageNet.
        assert count(MobileNetV2(1000)) == 3_504_872
        assert count(ResNet34(1000)) == 21_797_672
        assert count(ResNet50V2(1000).body) == 25_549_352 - 2048 * 1000 - 1000
        # Keras's VGG16 without its dense layers, and the flattened layer of Gomes and of Islam.
        assert count(VGG16(8).body) == 14_714_688
        assert count(VGG16(8, size=128).head) == 4 * 4 * 512 * 8 + 8
        assert count(VGG16(7).head) == 7 * 7 * 512 * 7 + 7


def test_the_heads_are_those_of_the_papers() -> None:
    with torch.device("meta"):
        dense, relu, dropout, last = list(ResNet50V2(7).head)[1:]
    assert (dense.in_features, dense.out_features, type(relu), dropout.p, last.out_features) == (
        2048,
        1024,
        nn.ReLU,
        0.4,
        7,
    )


def test_paper_4_divides_images_by_255_and_no_more() -> None:
    small = {"size": 32, "filters": (4, 0, 4, 0)}
    images = torch.randint(0, 256, (2, 3, 32, 32))
    network = VGG16(3, normalized=False, **small).eval()  # type: ignore[arg-type]
    torch.testing.assert_close(network(images), network.head(network.body(images / 255)))
    normalized = VGG16(3, **small).eval()  # type: ignore[arg-type]
    normalized.load_state_dict(network.state_dict())
    assert not torch.allclose(normalized(images), network(images))


@pytest.mark.parametrize(("kind", "shape"), [(MobileNetV2, (257, 251)), (VGG16, (224, 224)), (VGG16, (128, 128))])
def test_the_real_ones_take_the_images_of_the_papers(kind: type[ImageNetwork], shape: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = VGG16(7, size=shape[0]) if kind is VGG16 else kind(7)  # type: ignore[call-arg, arg-type]
        assert network.eval()(torch.zeros(2, 3, *shape)).shape == (2, 7)


@EACH
def test_an_image_scores_alone_as_in_a_batch_in_bytes_as_in_floats(kind: type[ImageNetwork]) -> None:
    network, batch = tiny(kind), images(kind, 3)
    # As if it had been trained: with the statistics that batch norms begin with, little comes through a deep network.
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.inference_mode():
        network.train()(batch)
        network.eval()
        together = network(batch)
        assert together.std(dim=0).max() > 1e-3
        torch.testing.assert_close(together, torch.cat([network(image[None]) for image in batch]), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together, network(batch.float()))


@EACH
def test_each_learns_a_handful_of_images(kind: type[ImageNetwork]) -> None:
    network, batch, labels = tiny(kind), images(kind, 4), torch.arange(4)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(batch), labels)
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    assert (network(batch).argmax(dim=1) == labels).all()  # as in training: so few images say little of a batch norm


@EACH
def test_a_frozen_body_stays_as_it_is_its_batch_statistics_too(kind: type[ImageNetwork]) -> None:
    network = tiny(kind)
    network.freeze_body()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(network(images(kind, 4)), torch.arange(4)).backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("head.") for name in changed)


# ImageNet's weights: a folder, a file, the hub


def published(kind: type[ImageNetwork]) -> dict[str, torch.Tensor]:
    """Return the tensors of another network, by the names under which the hub has them, and a head for photographs."""
    prefix = {MobileNetV2: "mobilenet_v2.", VGG16: "features.", ResNet50V2: "bit.", ResNet34: "resnet."}[kind]
    body = {prefix + name: tensor for name, tensor in tiny(kind).body.state_dict().items()}
    return body | {"classifier.weight": torch.randn(10, 3), "classifier.bias": torch.randn(10)}


@EACH
def test_imagenet_weights_go_into_the_body_and_leave_the_head(kind: type[ImageNetwork], tmp_path: Path) -> None:
    tensors = published(kind)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    network = tiny(kind)
    head = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    load_imagenet(network, tmp_path, Settings())
    assert {id(tensor) for tensor in network.body.state_dict().values()}
    for (name, tensor), stored in zip(network.body.state_dict().items(), tensors.values(), strict=False):
        assert torch.equal(tensor, stored), name
    assert all(torch.equal(tensor, head[name]) for name, tensor in network.head.state_dict().items())


def test_vgg16_s_weights_may_be_a_torch_file(tmp_path: Path) -> None:
    tensors = published(VGG16)
    torch.save(tensors, tmp_path / "vgg16.pth")
    network = tiny(VGG16)
    load_imagenet(network, str(tmp_path / "vgg16.pth"), Settings())
    assert torch.equal(network.body[0].weight, tensors["features.0.weight"])  # type: ignore[index]


@EACH
def test_other_weights_are_refused(kind: type[ImageNetwork], tmp_path: Path) -> None:
    tensors = published(kind)
    del tensors[next(iter(tensors))]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsUnavailable, match=f"does not contain the weights of a {kind.__name__}"):
        load_imagenet(tiny(kind), tmp_path, Settings())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"contains no model\.safetensors"):
        load_imagenet(tiny(VGG16), tmp_path, Settings())
    for name in ("model.safetensors", "model.pth"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(WeightsUnavailable, match="cannot be read as weights"):
            load_imagenet(tiny(VGG16), tmp_path / name, Settings())


def test_weights_lie_in_models_encoders_or_need_permission(tmp_path: Path) -> None:
    here = Settings(models_dir=tmp_path)
    place = tmp_path / "encoders" / "somebody" / "resnet-34-of-nowhere"
    for name in ("somebody/resnet-34-of-nowhere", f"somebody/resnet-34-of-nowhere@{40 * '0'}"):
        with pytest.raises(WeightsUnavailable, match="not on this computer: set SER_ALLOW_DOWNLOAD=yes") as caught:
            load_imagenet(tiny(ResNet34), name, here)
        assert str(place) in str(caught.value)
    place.mkdir(parents=True)
    tensors = {name: tensor.contiguous() for name, tensor in published(ResNet34).items()}
    save_file(tensors, place / "model.safetensors")
    network = tiny(ResNet34)
    weights = load_imagenet(network, "somebody/resnet-34-of-nowhere", here)
    assert weights == {"commit": "", "sha256": sha256(place / "model.safetensors")}
    for name, tensor in network.body.state_dict().items():
        assert torch.equal(tensor, tensors[f"resnet.{name}"])


def test_what_is_no_source_of_weights_is_said(tmp_path: Path) -> None:
    here = Settings(models_dir=tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"neither a folder nor an id .*; microsoft/resnet-34 has the weights"):
        load_imagenet(tiny(ResNet34), "resnet", here)
    with pytest.raises(InvalidSettings, match="“main” is no pinned revision of microsoft/resnet-34"):
        load_imagenet(tiny(ResNet34), "microsoft/resnet-34@main", here)
