"""The epochs of a reader of words: resumable at each, and the same however often it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_length_grouped_indices

from ser_engine.data.corpora.goemotions import Sentences
from ser_engine.evaluation.text_metrics import best_thresholds, macro_f1, present
from ser_engine.models.text_emotion import TextEmotionNetwork
from ser_engine.training.config import TextEmotionTraining
from ser_engine.training.fit_network import copy_of, write_checkpoint
from ser_engine.training.heads import HistoryFile

HELD_OUT_BATCH = 64


@dataclass(frozen=True)
class Tokens:
    """Sentences as a network takes them: n rows of token numbers, and their labels float32 [n, labels]."""

    rows: list[Tensor]
    labels: Tensor

    @classmethod
    def of(cls, sentences: Sentences, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Tokens:
        """Return the tokens of some sentences, each cut after `max_tokens`."""
        # Within a tokenizer "truncation" without padding leaves rows as long as they are.
        found: Any = tokenizer(list(sentences.texts), truncation=True, max_length=max_tokens)
        return cls(
            [torch.tensor(ids, dtype=torch.int32) for ids in found["input_ids"]],
            torch.from_numpy(sentences.labels.astype(np.float32)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Sequence[int], padding: int) -> tuple[Tensor, Tensor]:
        """Return tokens and mask, int64 [batch, the longest of them]."""
        chosen = [self.rows[row].long() for row in rows]
        ids = pad_sequence(chosen, batch_first=True, padding_value=padding)
        lengths = torch.tensor([len(row) for row in chosen])
        return ids, (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()


def fit(
    network: TextEmotionNetwork, train: Tokens, dev: Tokens, config: TextEmotionTraining, state: Path
) -> TextEmotionNetwork:
    """Train a network in place and return it as it was in the epoch of the greatest macro-F1 on `dev`.

    `state` is the folder in which each epoch is kept, so that a run that was stopped goes on after its last one, and
    one that has ended trains no more; history.jsonl there tells of every epoch: loss on both, and macro-F1 with the
    thresholds that suit it best.
    """
    network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if config.freeze_embeddings:
        network.encoder.get_input_embeddings().requires_grad_(False)
    steps = -(-len(train) // config.batch)
    optimizer = torch.optim.AdamW(_groups(network, config))
    schedule = get_linear_schedule_with_warmup(optimizer, config.warmup, config.epochs * steps)
    checkpoint = state / "epoch.pt"
    done: dict[str, Any] = {"epochs": 0, "best": None, "best_f1": -1.0}
    if checkpoint.exists():
        done = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for part, kept in (("module", network), ("optimizer", optimizer), ("schedule", schedule)):
            kept.load_state_dict(done.pop(part))
    history = HistoryFile(state / "history.jsonl", "dev", keep=done["epochs"])
    for epoch in range(done["epochs"], config.epochs):
        loss = _epoch(network, train, config, optimizer, schedule, epoch)
        measured = _measure(network, dev)
        history({"epoch": epoch + 1, "loss": loss, **measured})
        done["epochs"] = epoch + 1
        if measured["validation_macro_f1"] > done["best_f1"]:
            done |= {"best": copy_of(network), "best_f1": measured["validation_macro_f1"]}
        parts = {"module": network, "optimizer": optimizer, "schedule": schedule}
        write_checkpoint(checkpoint, done | {name: part.state_dict() for name, part in parts.items()})
    network.load_state_dict(done["best"])
    return network.cpu().eval()


def logits_of(network: TextEmotionNetwork, tokens: Tokens) -> Tensor:
    """Return logits float32 [n, labels], without dropout."""
    found = torch.zeros(tokens.labels.shape)
    order = sorted(range(len(tokens)), key=lambda row: len(tokens.rows[row]))
    network.eval()
    with torch.inference_mode():
        for first in range(0, len(order), HELD_OUT_BATCH):
            rows = order[first : first + HELD_OUT_BATCH]
            found[rows] = network(*_batch(network, tokens, rows)).float().cpu()
    return found


def _epoch(
    network: TextEmotionNetwork,
    train: Tokens,
    config: TextEmotionTraining,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> float:
    """Train for one epoch, whose chances depend on seed and epoch alone, and return the mean loss."""
    torch.manual_seed(int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0]))
    generator = torch.Generator().manual_seed(torch.initial_seed())
    torch.set_flush_denormal(True)
    network.train()
    order = get_length_grouped_indices([len(row) for row in train.rows], config.batch, generator=generator)
    device = network.classifier.weight.device
    weight = positive_weights(train.labels, config.balance).to(device)
    total = 0.0
    starts = range(0, len(order), config.batch)
    for first in tqdm(starts, desc=f"epoch {epoch + 1} of {config.epochs}", unit="batch"):
        rows = order[first : first + config.batch]
        targets = (train.labels[rows] * (1 - config.label_smoothing) + config.label_smoothing / 2).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
            logits = network(*_batch(network, train, rows))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), targets, pos_weight=weight)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item() * len(rows)
    return total / len(order)


def positive_weights(labels: Tensor, exponent: float) -> Tensor:
    """Return float32 [labels]: (sentences without a label / sentences with it) ** exponent."""
    having = labels.sum(dim=0)
    return ((len(labels) - having).clamp(min=1) / having.clamp(min=1)) ** exponent


def _measure(network: TextEmotionNetwork, dev: Tokens) -> dict[str, float]:
    """Return loss and macro-F1, in per cent, on what is held out."""
    logits = logits_of(network, dev)
    probabilities: NDArray[np.float32] = logits.sigmoid().numpy()
    true = dev.labels.numpy() > 0
    predicted = present(probabilities, best_thresholds(true, probabilities))
    loss = functional.binary_cross_entropy_with_logits(logits, dev.labels)
    return {"validation_loss": loss.item(), "validation_macro_f1": macro_f1(true, predicted)}


def _groups(network: TextEmotionNetwork, config: TextEmotionTraining) -> list[dict[str, Any]]:
    """Return what AdamW trains: each layer at its own rate, and neither biases nor norms pulled to 0."""
    depth = network.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = config.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((_rate(name, depth, config), decay), []).append(parameter)
    return [{"params": some, "lr": rate, "weight_decay": decay} for (rate, decay), some in groups.items()]


def _rate(name: str, depth: int, config: TextEmotionTraining) -> float:
    """Return a parameter's learning rate: the top layer has the configured one, each below it `layer_decay` of that."""
    if name.startswith("classifier."):
        return config.head_learning_rate
    number = next((int(part) for part in name.split(".") if part.isdigit()), -1)  # the embeddings have none
    return config.learning_rate * config.layer_decay ** (depth - 1 - number)


def _batch(network: TextEmotionNetwork, tokens: Tokens, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return tokens and mask where the network is."""
    ids, mask = tokens.batch(rows, int(network.encoder.config.pad_token_id or 0))
    device = network.classifier.weight.device
    return ids.to(device), mask.to(device)
