"""Fine-tuning of a text encoder; a stopped training resumes and has the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_length_grouped_indices

from ser_engine.data.corpora import goemotions
from ser_engine.data.corpora.sentences import Sentences
from ser_engine.data.corpora.text_registry import get_text_corpus
from ser_engine.data.splits import AUTHORS_SPLIT
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.text_thresholds import choose_thresholds, decide, mean_macro_f1
from ser_engine.models.batching import length_groups
from ser_engine.models.device import CPU
from ser_engine.models.text_emotion import TextEmotionNetwork
from ser_engine.training.config import STRICT, Count, Dropout, ExperimentConfig, Exponent, Natural, Rate, Share
from ser_engine.training.heads import moving_average
from ser_engine.training.state import copy_weights, load_checkpoint, save_checkpoint
from ser_engine.training.system import Task

VALIDATION_BATCH = 64


@pydantic_dataclass(frozen=True, kw_only=True, config=STRICT)
class TextEmotionTraining(ExperimentConfig):
    """An experiment with a fine-tuned text encoder.

    Attributes
    ----------
    corpora : keys of `text_registry.TEXT_CORPORA`, or their folders; GoEmotions is the first
    mixing : exponent of a corpus's size in its share of an epoch: 1 for all sentences alike, 0 for all corpora alike
    epoch_sentences : sentences of an epoch; 0 for as many as there are
    encoder : as `models.encoder_reference.EncoderReference.parse` reads it
    max_tokens : of a sentence in training; the rest of it is left out
    freeze_embeddings : whether the token embeddings stay as they are, which saves time and memory
    epochs, batch, learning_rate, weight_decay, warmup : AdamW; the rate rises for `warmup` steps and falls to 0
    head_learning_rate, layer_decay : rate of the new layer; rate of each layer in parts of that of the layer above it
    balance : exponent of (sentences without a label) / (sentences with it), the weight of the latter in the loss;
        0 for none
    label_smoothing : how far a target is moved from 0 or 1 towards one half, 0 to 1
    dropout : before the new layer; within the encoder it is the encoder's own
    averaging : decay of the moving average of the weights, which is validated and kept; 0 for the last weights
    tags : by corpus, what is put before each of its sentences, so that the encoder distinguishes manners of writing;
        texts without a tag are read as transcripts of speech (Kobus et al., 2017)
    false_positives : largest share of the dev part's sentences labeled neutral alone that may have a margin
    bfloat16 : whether training computes in bfloat16 where that loses little; for processors that have it
    sentences : largest number of sentences of each part of a corpus, for trials; 0 for all
    """

    encoder: str
    max_tokens: Annotated[int, Field(ge=3, le=512)] = 64
    freeze_embeddings: bool = False
    epochs: Count = 5
    batch: Count = 32
    learning_rate: Rate = 5e-5
    weight_decay: Exponent = 0.01
    warmup: Natural = 500
    head_learning_rate: Rate = 1e-3
    layer_decay: Share = 1.0
    balance: Exponent = 0.0  # type: ignore[assignment]
    label_smoothing: Share = 0.0
    dropout: Dropout = 0.1
    mixing: Exponent = 1.0
    epoch_sentences: Natural = 0
    averaging: Share = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    false_positives: Share = 0.03
    bfloat16: bool = False
    sentences: Natural = 0
    save: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            ids = [get_text_corpus(name).id for name in self.corpora]
        except CorpusError as error:
            raise InvalidSettings(str(error)) from None
        if ids[0] != goemotions.ID or len(set(ids)) < len(ids):
            raise InvalidSettings(f"corpora begins with {goemotions.ID}, and each is named once.")
        if self.protocol != AUTHORS_SPLIT:
            raise InvalidSettings(f"{goemotions.ID} has its authors' parts: the protocol is {AUTHORS_SPLIT}.")


@dataclass(frozen=True)
class Tokens:
    """Sentences, as n rows of token numbers, too, and their labels float32 [n, labels]."""

    sentences: Sentences
    rows: list[Tensor]
    labels: Tensor

    @classmethod
    def of(cls, sentences: Sentences, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Tokens:
        """Return the tokens of sentences, each cut after `max_tokens`."""
        # With truncation but no padding, a tokenizer leaves shorter rows as they are.
        encoded: Any = tokenizer(list(sentences.texts), truncation=True, max_length=max_tokens)
        return cls(
            sentences,
            [torch.tensor(ids, dtype=torch.int32) for ids in encoded["input_ids"]],
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


def train_network(
    network: TextEmotionNetwork,
    train: Tokens,
    dev: Tokens,
    config: TextEmotionTraining,
    task: Task,
    device: torch.device = CPU,
) -> TextEmotionNetwork:
    """Train a network in place on a device; return it, on the CPU, as it was in the epoch of the highest macro-F1.

    The macro-F1 is a mean over the corpora of `dev`. `task.state` holds a checkpoint of the last epoch, so that a
    stopped training resumes there and a finished one is not repeated, and the history: loss on both parts, and macro-F1
    at the best thresholds.
    """
    network.to(device)
    if config.freeze_embeddings:
        network.encoder.get_input_embeddings().requires_grad_(False)
    steps = -(-(config.epoch_sentences or len(train)) // config.batch)
    optimizer = torch.optim.AdamW(parameter_groups(network, config))
    schedule = get_linear_schedule_with_warmup(optimizer, config.warmup, config.epochs * steps)
    checkpoint = task.state.folder / "epoch.pt"
    averaged = AveragedModel(network, multi_avg_fn=partial(moving_average, config.averaging))
    mean: Any = averaged.module
    parts: dict[str, Any] = {
        "module": network, "averaged": averaged, "optimizer": optimizer, "schedule": schedule,
    }  # fmt: skip
    done = load_checkpoint(checkpoint, {"epochs": 0, "best": None, "best_f1": -1.0}, **parts)
    history = task.state.history(task.number, task.name, keep=done["epochs"])
    for epoch in range(done["epochs"], config.epochs):
        loss = _train_epoch(network, averaged, train, config, optimizer, schedule, epoch)
        measured = validate(mean, dev)
        history({"epoch": epoch + 1, "loss": loss, **measured})
        done["epochs"] = epoch + 1
        if measured["validation_macro_f1"] > done["best_f1"]:
            done |= {"best": copy_weights(mean), "best_f1": measured["validation_macro_f1"]}
        save_checkpoint(checkpoint, done, **parts)
    network.load_state_dict(done["best"])
    return network.cpu().eval()


def logits_of(network: TextEmotionNetwork, tokens: Tokens) -> Tensor:
    """Return logits float32 [n, labels], without dropout."""
    logits = torch.zeros(tokens.labels.shape)
    network.eval()
    with torch.inference_mode():
        for rows in length_groups([len(row) for row in tokens.rows], VALIDATION_BATCH, waste=1.0):
            logits[rows] = network(*_batch(network, tokens, rows)).float().cpu()
    return logits


def _train_epoch(
    network: TextEmotionNetwork,
    averaged: AveragedModel,
    train: Tokens,
    config: TextEmotionTraining,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
) -> float:
    """Train for one epoch, whose random numbers depend on seed and epoch alone, and return the mean loss."""
    torch.manual_seed(int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0]))
    generator = torch.Generator().manual_seed(torch.initial_seed())
    torch.set_flush_denormal(True)
    network.train()
    mixed = mix_rows(train.sentences, config.mixing, config.epoch_sentences, config.seed, epoch)
    lengths = [len(train.rows[row]) for row in mixed]
    order = mixed[get_length_grouped_indices(lengths, config.batch, generator=generator)].tolist()
    device = network.classifier.weight.device
    weight = positive_weights(train.labels[mixed], config.balance).to(device)
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
        averaged.update_parameters(network)
        total += loss.item() * len(rows)
    return total / len(order)


def mix_rows(sentences: Sentences, exponent: float, total: int, seed: int, epoch: int) -> NDArray[np.int_]:
    """Return the rows of an epoch, in which the share of each corpus is proportional to its size ** exponent.

    `total` is their number; with 0 it is that of all sentences. Each corpus is gone through in a random order, which an
    epoch continues where the last one ended, so that each sentence of it is seen as often as any other.
    """
    groups, total = list(sentences.groups().values()), total or len(sentences)
    if exponent == 1 and total == len(sentences):
        return np.arange(total)
    sizes = np.array([len(rows) for rows in groups]) ** exponent
    counts = np.diff(np.round(np.cumsum(sizes) / sizes.sum() * total).astype(int), prepend=0)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(rows) for rows in groups]
    return np.concatenate(
        [
            order[np.arange(epoch * count, (epoch + 1) * count) % len(order)]
            for order, count in zip(orders, counts, strict=True)
        ]
    )


def positive_weights(labels: Tensor, exponent: float) -> Tensor:
    """Return float32 [labels]: (sentences without a label / sentences with it) ** exponent."""
    counts = labels.sum(dim=0)
    return ((len(labels) - counts).clamp(min=1) / counts.clamp(min=1)) ** exponent


def validate(network: TextEmotionNetwork, dev: Tokens) -> dict[str, float]:
    """Return loss and macro-F1, in percent and as a mean over the corpora, on the dev part."""
    logits = logits_of(network, dev)
    probabilities: NDArray[np.float32] = logits.sigmoid().numpy()
    thresholds = choose_thresholds(dev.sentences, probabilities)
    loss = functional.binary_cross_entropy_with_logits(logits, dev.labels)
    predicted = decide(dev.sentences, probabilities, thresholds)
    return {"validation_loss": loss.item(), "validation_macro_f1": mean_macro_f1(dev.sentences, predicted)}


def parameter_groups(network: TextEmotionNetwork, config: TextEmotionTraining) -> list[dict[str, Any]]:
    """Return AdamW's groups: each layer at its own rate, biases and norms without weight decay."""
    depth = network.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = config.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((_rate(name, depth, config), decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def _rate(name: str, depth: int, config: TextEmotionTraining) -> float:
    """Return a parameter's learning rate: the top layer has the configured one, each below it `layer_decay` of that."""
    if name.startswith("classifier."):
        return config.head_learning_rate
    number = next((int(part) for part in name.split(".") if part.isdigit()), -1)  # the embeddings have none
    return config.learning_rate * config.layer_decay ** (depth - 1 - number)


def _batch(network: TextEmotionNetwork, tokens: Tokens, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return tokens and mask on the network's device."""
    ids, mask = tokens.batch(rows, int(network.encoder.config.pad_token_id or 0))
    device = network.classifier.weight.device
    return ids.to(device), mask.to(device)
