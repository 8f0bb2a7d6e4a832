"""Training a network of speech and text with transformers' Trainer: resumable, on one processor or on many."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, Sampler
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.trainer_utils import get_last_checkpoint

from ser_engine.data.preprocess import samples_of
from ser_engine.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from ser_engine.models.speech_text import SpeechTextForSequenceClassification, SpeechTextProcessor
from ser_engine.training.config import SpeechTextTraining
from ser_engine.training.heads import HistoryFile

BEST = "UA_plus_WA"


@dataclass(frozen=True)
class Examples(Dataset[dict[str, Any]]):
    """Clips with their classes int [n]: either the pooled states of frozen encoders, or files of samples and words."""

    labels: NDArray[np.int_]
    files: Sequence[Path]
    words: Sequence[str]
    speech: NDArray[np.float16] | None = None
    text: NDArray[np.float32] | None = None

    @property
    def pooled(self) -> bool:
        """Whether the encoders have been run already."""
        return self.speech is not None or self.text is not None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        found: dict[str, Any] = {"labels": int(self.labels[row])}
        if not self.pooled:
            return found | {"file": self.files[row], "words": self.words[row]}
        if self.speech is not None:
            found["speech_states"] = self.speech[row].astype(np.float32)
        if self.text is not None:
            found["text_states"] = self.text[row]
        return found

    def lengths(self) -> list[int]:
        """Return how many samples each clip has."""
        return [len(np.load(file, mmap_mode="r")) for file in self.files]


@dataclass(frozen=True)
class Collator:
    """Makes a batch of examples: tensors of states, or padded samples and tokens with their masks."""

    processor: SpeechTextProcessor

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Return what the network's forward takes."""
        labels = {"labels": torch.tensor([example["labels"] for example in examples])}
        if "file" in examples[0]:
            clips = [samples_of(example["file"]) for example in examples]
            return self.processor(clips, [example["words"] for example in examples]) | labels
        kinds = [name for name in ("speech_states", "text_states") if name in examples[0]]
        return labels | {name: torch.from_numpy(np.stack([one[name] for one in examples])) for name in kinds}


class Shuffled(Sampler[int]):
    """Every clip once an epoch, in an order that depends on seed and epoch alone, however many processes share it.

    With `lengths`, neighbours within a batch are similarly long, so that little is padded.
    """

    def __init__(self, count: int, seed: int, lengths: Sequence[int] | None = None, batch: int = 1) -> None:
        self.count, self.seed, self.lengths, self.batch = count, seed, lengths, batch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        seed = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        if self.lengths is None:
            return iter(torch.randperm(self.count, generator=generator).tolist())
        return iter(get_length_grouped_indices(list(self.lengths), self.batch, generator=generator))


class ShuffledTrainer(Trainer):
    """A Trainer whose order of clips is that of `Shuffled`."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        examples = train_dataset or self.train_dataset
        assert isinstance(examples, Examples)
        lengths = None if examples.pooled else examples.lengths()
        return Shuffled(len(examples), self.args.seed, lengths, self.args.train_batch_size)


class History(TrainerCallback):
    """Tells history-NNNN.jsonl of every epoch, so that the results page can draw a run while it trains."""

    def __init__(self, file: HistoryFile) -> None:
        self.file = file
        self.losses: list[float] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Keep the loss of the steps, and write a line when an epoch has been measured."""
        if not state.is_world_process_zero or not logs:
            return
        entry = {"epoch": round(float(logs.get("epoch", 0)))}
        if "loss" in logs:
            self.file(entry | {"loss": float(logs["loss"])})
        elif "eval_loss" in logs:
            names = {"validation_loss": "eval_loss", "validation_UA": "eval_UA", "validation_WA": "eval_WA"}
            self.file(entry | {name: float(logs[key]) for name, key in names.items() if key in logs})


def fit(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    train: Examples,
    validation: Examples | None,
    config: SpeechTextTraining,
    number: int,
    name: str,
    state: Path,
) -> None:
    """Train a network in place; a run that was stopped goes on at its epoch.

    `state` is the folder in which each epoch is kept; history-NNNN.jsonl there tells of every epoch of the fold `name`,
    and TensorBoard's logs lie in tensorboard-NNNN.
    """
    folder = state / f"fold-{number}"
    done = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    with PartialState().main_process_first():
        history = HistoryFile(state / f"history-{number:04}.jsonl", name, keep=_epochs_of(done))
    stops = bool(config.patience and validation)
    trainer = ShuffledTrainer(
        model=network,
        args=_arguments(config, folder, validation is not None, stops, network),
        data_collator=Collator(processor),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=measured,
        compute_loss_func=Weighted(train.labels, len(network.config.emotions)) if config.class_weights else None,
        callbacks=[History(history), *([EarlyStoppingCallback(config.patience)] if stops else [])],
    )
    trainer.train(resume_from_checkpoint=done)
    network.eval()
    if trainer.is_world_process_zero():
        logs = state / f"tensorboard-{number:04}"
        if (folder / "runs").is_dir():
            shutil.copytree(folder / "runs", logs, dirs_exist_ok=True)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)


def measured(prediction: EvalPrediction) -> dict[str, float]:
    """Return WA, UA and their sum, in per cent."""
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    true, predicted = np.asarray(prediction.label_ids), np.asarray(logits).argmax(axis=1)
    ua, wa = unweighted_accuracy(true, predicted), weighted_accuracy(true, predicted)
    return {"UA": ua, "WA": wa, BEST: ua + wa}


class Weighted:
    """Cross-entropy in which a class weighs as much as it is rare among the training clips."""

    def __init__(self, labels: NDArray[np.int_], count: int) -> None:
        occurs = np.bincount(labels, minlength=count)
        self.weight = torch.from_numpy(len(labels) / (count * np.maximum(occurs, 1))).float()

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Return the loss of a batch, a share of all that one step takes."""
        weight = self.weight.to(outputs.logits.device)
        losses = functional.cross_entropy(outputs.logits.float(), labels, weight=weight, reduction="sum")
        return losses / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def _arguments(
    config: SpeechTextTraining, folder: Path, measures: bool, stops: bool, network: SpeechTextForSequenceClassification
) -> TrainingArguments:
    """Return what the Trainer is told: paper-1, table 7, where the configuration has its figures."""
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch,
        per_device_eval_batch_size=max(config.batch, 16),
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        lr_scheduler_type="linear",
        bf16=cuda and torch.cuda.is_bf16_supported(),
        fp16=cuda and not torch.cuda.is_bf16_supported(),
        activation_checkpointing=config.gradient_checkpointing,
        eval_strategy="epoch" if measures else "no",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=stops,
        metric_for_best_model=BEST if stops else None,
        greater_is_better=True if stops else None,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=["tensorboard"],
        seed=config.seed,
        data_seed=config.seed,
        disable_tqdm=False,
        # Some of what is fine-tuned has no part in the result: BERT's pooler, a layer that was dropped.
        ddp_find_unused_parameters=network.config.freezing != "head",
        use_cpu=not cuda,
    )


def _epochs_of(checkpoint: str | None) -> int:
    """Return how many epochs a checkpoint has behind it."""
    if checkpoint is None:
        return 0
    return round(float(TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json")).epoch or 0))
