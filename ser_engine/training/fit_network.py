"""The epochs of a network's training: resumable at each, and the same however often it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ser_engine.data.cache import replacing
from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.papers.augment_images import augment
from ser_engine.papers.cnn1d import CNN1D, penalty
from ser_engine.papers.network import Blocks
from ser_engine.training.config import NetworkConfig
from ser_engine.training.heads import HistoryFile


@dataclass(frozen=True)
class Task:
    """Blocks [n, *shape], standardised where they are no images, and their classes int [n]."""

    blocks: Blocks
    targets: NDArray[np.int_]


def fit(
    module: nn.Module, task: Task, held_out: Task | None, config: NetworkConfig, number: int, name: str, state: Path
) -> nn.Module:
    """Train a network in place and return it; it ends early where `held_out` says so.

    `state` is the folder in which each epoch is kept, so that a run that was stopped goes on after its last one;
    history-NNNN.jsonl there tells of every epoch of the fold `name`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.to(device)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    optimizer = kind(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoint = state / f"fold-{number}.pt"
    done = _resume(checkpoint, module, optimizer)
    history = HistoryFile(state / f"history-{number:04}.jsonl", name, keep=len(done["losses"]))
    for epoch in tqdm(range(len(done["losses"]), config.epochs), desc=f"fold {name}", leave=False):
        if config.patience and epoch - done["best_epoch"] > config.patience:
            break
        entry = {"epoch": epoch + 1, "loss": _epoch(module, task, config, optimizer, [number, epoch], device)}
        if held_out is not None:
            entry |= _measure(module, held_out, device)
        done["losses"].append(entry.get("validation_loss", entry["loss"]))
        if not config.patience or done["losses"][-1] < done["best_loss"]:
            done |= {"best_loss": done["losses"][-1], "best_epoch": epoch, "best": copy_of(module)}
        history(entry)
        write_checkpoint(checkpoint, {"module": module.state_dict(), "optimizer": optimizer.state_dict(), **done})
    module.load_state_dict(done["best"] or module.state_dict())
    checkpoint.unlink(missing_ok=True)
    return module.cpu().eval()


def _epoch(
    module: nn.Module,
    task: Task,
    config: NetworkConfig,
    optimizer: torch.optim.Optimizer,
    place: list[int],
    device: torch.device,
) -> float:
    """Train for one epoch, whose chances depend on its place alone, and return the mean loss."""
    torch.manual_seed(int(np.random.SeedSequence([config.seed, *place]).generate_state(1)[0]))
    generator = torch.Generator().manual_seed(torch.initial_seed())
    torch.set_flush_denormal(True)
    module.train()
    order = torch.randperm(len(task.targets), generator=generator)
    total = 0.0
    for rows in tqdm(order.split(config.batch), desc="batches", leave=False):
        if len(rows) == 1 and len(order) > 1:  # batch norm has nothing to compare a single one with
            continue
        blocks = torch.from_numpy(task.blocks[rows.numpy()])
        if config.augmentation == "tiwari":
            blocks = augment(blocks, generator)
        loss = functional.cross_entropy(module(blocks.to(device)), torch.from_numpy(task.targets[rows]).to(device))
        if isinstance(module, CNN1D):
            loss = loss + penalty(module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(order)


def _measure(module: nn.Module, held_out: Task, device: torch.device) -> dict[str, float]:
    """Return loss and UA, in per cent, on what is held out."""
    module.eval()
    with torch.inference_mode():
        blocks = torch.from_numpy(held_out.blocks)
        logits = torch.cat([module(part.to(device)).cpu() for part in blocks.split(64)])
        loss = functional.cross_entropy(logits, torch.from_numpy(held_out.targets))
    return {
        "validation_loss": loss.item(),
        "validation_UA": unweighted_accuracy(held_out.targets, logits.argmax(dim=1).numpy()),
    }


def copy_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a module's tensors as they are now."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def _resume(checkpoint: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return how far an earlier attempt came, after putting the network into that state."""
    fresh = {"losses": [], "best_loss": float("inf"), "best_epoch": 0, "best": None}
    if not checkpoint.exists():
        return fresh
    found = torch.load(checkpoint, weights_only=True)
    module.load_state_dict(found.pop("module"))
    optimizer.load_state_dict(found.pop("optimizer"))
    return found


def write_checkpoint(target: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its place and rename it."""
    with replacing(target) as beside:
        torch.save(state, beside)
