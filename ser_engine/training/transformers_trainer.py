"""Training of a network of speech and text with transformers' Trainer: resumable, in one process or in several."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor
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

from ser_engine.data.augment import RECIPES
from ser_engine.data.preprocess import PREPROCESSINGS, load_samples
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from ser_engine.models.device import precision
from ser_engine.models.speech_text_config import SpeechTextConfig
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.training.config import STRICT, Count, ExperimentConfig, Exponent, Natural, Rate, one_of
from ser_engine.training.state import History
from ser_engine.training.system import Task

BEST = "UA_plus_WA"


@pydantic_dataclass(frozen=True, kw_only=True, config=STRICT)
class SpeechTextTraining(ExperimentConfig):
    """An experiment with an encoder of speech, of text, or both.

    Attributes
    ----------
    speech, text : encoders as `EncoderReference.parse` reads them: "whisper-base" (bundled), a hub id
        with "@revision", or a folder; none if empty
    network : entries of `SpeechTextConfig`: head, hidden, head_dropout, layers, freezing, lora, text_dropout …
    speech_overrides : entries of the speech encoder's own config (mask_time_prob for SpecAugment)
    preprocessing : one of `preprocess.PREPROCESSINGS`
    augmentation : key of `augment.RECIPES`: each training clip gets one copy for each augmentation; copies are never
        tested
    epochs, batch, accumulation, learning_rate, weight_decay, warmup : AdamW with a linear schedule
    gradient_checkpointing : whether to save memory at the price of time
    patience : epochs without a higher UA + WA on the validation part after which training ends with the best epoch;
        0 for all epochs
    """

    speech: str = ""
    text: str = ""
    network: dict[str, Any] = Field(default_factory=dict)
    speech_overrides: dict[str, Any] = Field(default_factory=dict)
    preprocessing: Annotated[str, one_of(*PREPROCESSINGS)] = "application"
    augmentation: Annotated[str, one_of("", *RECIPES)] = ""
    epochs: Count = 6
    batch: Count = 4
    accumulation: Count = 4
    learning_rate: Rate = 5e-5
    weight_decay: Exponent = 0.01
    warmup: Natural = 500
    gradient_checkpointing: bool = False
    patience: Natural = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.speech and not self.text:
            raise InvalidSettings("There is neither an encoder of speech nor one of text.")
        network = SpeechTextConfig().override(self.network)
        if network.standardized and (network.freezing != "head" or network.lora is not None):
            raise InvalidSettings("Only the states of frozen encoders can be standardized.")


@dataclass(frozen=True)
class Examples(Dataset[dict[str, Any]]):
    """Clips with their classes int [n]: either the pooled states of frozen encoders, or files of samples and texts."""

    labels: NDArray[np.int_]
    files: Sequence[Path]
    texts: Sequence[str]
    speech: NDArray[np.float16] | None = None
    text: NDArray[np.float32] | None = None

    @property
    def pooled(self) -> bool:
        """Whether the states are known."""
        return self.speech is not None or self.text is not None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        example: dict[str, Any] = {"labels": int(self.labels[row])}
        if not self.pooled:
            return example | {"file": self.files[row], "text": self.texts[row]}
        if self.speech is not None:
            example["speech_states"] = self.speech[row].astype(np.float32)
        if self.text is not None:
            example["text_states"] = self.text[row]
        return example

    def lengths(self) -> list[int]:
        """Return the number of samples of each clip."""
        return [len(np.load(file, mmap_mode="r")) for file in self.files]


def collate(processor: SpeechTextProcessor, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Return a batch of examples for the network: tensors of states, or padded samples and tokens with their masks."""
    labels = {"labels": torch.tensor([example["labels"] for example in examples])}
    if "file" in examples[0]:
        clips = [load_samples(example["file"]) for example in examples]
        return processor(clips, [example["text"] for example in examples]) | labels
    kinds = [name for name in ("speech_states", "text_states") if name in examples[0]]
    return labels | {name: torch.from_numpy(np.stack([example[name] for example in examples])) for name in kinds}


class EpochSampler(Sampler[int]):
    """Every clip once an epoch, in an order that depends on seed and epoch alone, however many processes share it.

    With `lengths`, the clips of a batch are of similar length, so that little is padding.
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


class SeededTrainer(Trainer):
    """A Trainer with the order of `EpochSampler`."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        examples = train_dataset or self.train_dataset
        assert isinstance(examples, Examples)
        lengths = None if examples.pooled else examples.lengths()
        return EpochSampler(len(examples), self.args.seed, lengths, self.args.train_batch_size)


class HistoryCallback(TrainerCallback):
    """Writes every epoch into the fold's history, so that the results page can draw a run while it trains."""

    def __init__(self, history: History) -> None:
        self.history = history

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Write the loss of an epoch, or its figures on the validation part."""
        if not state.is_world_process_zero or not logs:
            return
        entry = {"epoch": round(float(logs.get("epoch", 0)))}
        if "loss" in logs:
            self.history(entry | {"loss": float(logs["loss"])})
        elif "eval_loss" in logs:
            names = {"validation_loss": "eval_loss", "validation_UA": "eval_UA", "validation_WA": "eval_WA"}
            self.history(entry | {name: float(logs[key]) for name, key in names.items() if key in logs})


def fine_tune(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    train: Examples,
    validation: Examples | None,
    config: SpeechTextTraining,
    task: Task,
) -> None:
    """Train a network in place, on its device; a training that was stopped resumes after its last whole epoch.

    The folder of `task.state` holds a checkpoint of each epoch, the history, and TensorBoard's logs in
    tensorboard-NNNN.
    """
    state = task.state.folder
    folder = state / f"fold-{task.number}"
    checkpoint = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    with PartialState().main_process_first():
        history = task.state.history(task.number, task.name, keep=_epochs_done(checkpoint))
    stops_early = bool(config.patience and validation)
    trainer = SeededTrainer(
        model=network,
        args=_training_arguments(config, folder, validation is not None, stops_early, network),
        data_collator=partial(collate, processor),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=measure_accuracies,
        callbacks=[HistoryCallback(history), *([EarlyStoppingCallback(config.patience)] if stops_early else [])],
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    network.eval()
    if trainer.is_world_process_zero() and (folder / "runs").is_dir():
        shutil.copytree(folder / "runs", state / f"tensorboard-{task.number:04}", dirs_exist_ok=True)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)


def measure_accuracies(prediction: EvalPrediction) -> dict[str, float]:
    """Return WA, UA and their sum, in percent."""
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    true, predicted = np.asarray(prediction.label_ids), np.asarray(logits).argmax(axis=1)
    ua, wa = unweighted_accuracy(true, predicted), weighted_accuracy(true, predicted)
    return {"UA": ua, "WA": wa, BEST: ua + wa}


def _training_arguments(
    config: SpeechTextTraining,
    folder: Path,
    validates: bool,
    stops_early: bool,
    network: SpeechTextForSequenceClassification,
) -> TrainingArguments:
    """Return the Trainer's arguments: Sharma, table 7, where the configuration has its figures."""
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
        bf16=precision(network.device) is torch.bfloat16,
        fp16=precision(network.device) is torch.float16,
        activation_checkpointing=config.gradient_checkpointing,
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=stops_early,
        metric_for_best_model=BEST if stops_early else None,
        greater_is_better=True if stops_early else None,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=["tensorboard"],
        seed=config.seed,
        data_seed=config.seed,
        disable_tqdm=False,
        # Some fine-tuned parameters do not affect the output: BERT's pooler, a layer that was dropped.
        ddp_find_unused_parameters=network.config.freezing != "head",
        use_cpu=network.device.type == "cpu",
    )


def _epochs_done(checkpoint: str | None) -> int:
    """Return the number of epochs before a checkpoint."""
    if checkpoint is None:
        return 0
    return round(float(TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json")).epoch or 0))
