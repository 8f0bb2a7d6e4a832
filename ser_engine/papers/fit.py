"""Training of a network, epoch by epoch; a stopped training resumes after its last epoch and ends the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic.dataclasses
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.models.device import CPU
from ser_engine.papers.augment_images import IMAGE_AUGMENTATIONS
from ser_engine.papers.cnn1d import CNN1D, penalty
from ser_engine.papers.network import Blocks
from ser_engine.training.config import STRICT, Count, ExperimentConfig, Exponent, Natural, Rate
from ser_engine.training.state import copy_weights, load_checkpoint, save_checkpoint
from ser_engine.training.system import Task

SCORED = 64
"""Blocks that are scored at once in validation."""


@dataclass(frozen=True)
class Examples:
    """Blocks [n, *shape], standardized unless they are images, and their classes int [n]."""

    blocks: Blocks
    targets: NDArray[np.int_]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class FitConfig(ExperimentConfig):
    """How a network is trained.

    Attributes
    ----------
    augmentation : key of `augment.RECIPES` for networks on acoustic features, of `IMAGE_AUGMENTATIONS` for those on
        images
    epochs, batch, learning_rate, weight_decay : of Adam; AdamW if there is weight decay
    patience : training ends when the validation loss has not fallen for so many epochs, and the best weights are kept;
        0 for all epochs. A tenth of the training clips is held out if the protocol has no validation part.
    bfloat16 : whether training computes in bfloat16 where that loses little; for processors that have it
    """

    augmentation: str = ""
    epochs: Count = 10
    batch: Count = 32
    learning_rate: Rate = 1e-3
    weight_decay: Exponent = 0.0
    patience: Natural = 0
    bfloat16: bool = False


def fit(
    module: nn.Module,
    training: Examples,
    validation: Examples | None,
    config: FitConfig,
    task: Task,
    device: torch.device = CPU,
) -> nn.Module:
    """Train a network in place on a device and return it, in evaluation mode on the CPU."""
    module.to(device)
    if config.bfloat16:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which convolves it faster
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    optimizer = kind(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoint = task.state.folder / f"fold-{task.number}.pt"
    progress: dict[str, Any] = {"epochs": 0, "best_loss": float("inf"), "best_epoch": 0, "best": None}
    progress = load_checkpoint(checkpoint, progress, module=module, optimizer=optimizer)
    history = task.state.history(task.number, task.name, keep=progress["epochs"])
    for epoch in tqdm(range(progress["epochs"], config.epochs), desc=f"fold {task.name}", leave=False):
        if config.patience and epoch - progress["best_epoch"] > config.patience:
            break
        entry = {"epoch": epoch + 1, "loss": _train_epoch(module, training, config, optimizer, task.number, epoch)}
        if validation is not None:
            entry |= _validate(module, validation, device)
        progress["epochs"] = epoch + 1
        loss = entry.get("validation_loss", entry["loss"])
        if not config.patience or loss < progress["best_loss"]:
            progress |= {"best_loss": loss, "best_epoch": epoch, "best": copy_weights(module)}
        history(entry)
        save_checkpoint(checkpoint, progress, module=module, optimizer=optimizer)
    module.load_state_dict(progress["best"] or module.state_dict())
    checkpoint.unlink(missing_ok=True)
    return module.cpu().eval()


def _train_epoch(
    module: nn.Module, training: Examples, config: FitConfig, optimizer: torch.optim.Optimizer, fold: int, epoch: int
) -> float:
    """Train for one epoch, with a seed that depends on fold and epoch alone, and return the mean loss."""
    device = next(module.parameters()).device
    torch.manual_seed(int(np.random.SeedSequence([config.seed, fold, epoch]).generate_state(1)[0]))
    generator = torch.Generator().manual_seed(torch.initial_seed())
    torch.set_flush_denormal(True)
    module.train()
    order = torch.randperm(len(training.targets), generator=generator)
    augment = IMAGE_AUGMENTATIONS.get(config.augmentation)
    total = 0.0
    for rows in tqdm(order.split(config.batch), desc="batches", leave=False):
        if len(rows) == 1 and len(order) > 1:  # batch norm cannot normalize a single example
            continue
        blocks = torch.from_numpy(training.blocks[rows.numpy()])
        if augment:
            blocks = augment(blocks, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
            logits = module(blocks.to(device))
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(training.targets[rows]).to(device))
        if isinstance(module, CNN1D):
            loss = loss + penalty(module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(order)


def _validate(module: nn.Module, validation: Examples, device: torch.device) -> dict[str, float]:
    """Return loss and UA, in percent, on the validation examples."""
    module.eval()
    with torch.inference_mode():
        blocks = torch.from_numpy(validation.blocks)
        logits = torch.cat([module(part.to(device)).cpu() for part in blocks.split(SCORED)])
        loss = functional.cross_entropy(logits, torch.from_numpy(validation.targets))
    return {
        "validation_loss": loss.item(),
        "validation_UA": unweighted_accuracy(validation.targets, logits.argmax(dim=1).numpy()),
    }
