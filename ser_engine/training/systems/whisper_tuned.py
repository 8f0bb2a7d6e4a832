"""The bundled audio model: fine-tuned blocks of Whisper's encoder, averaged with a run of heads on the frozen one.

The states of the lower blocks are computed once and cached, so that an epoch costs the tuned blocks alone. A head is
trained first, on frozen blocks; then both are trained, and a moving average of their weights is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file, save_file
from scipy.special import log_softmax
from torch import Tensor
from whisper.model import AudioEncoder

from ser_engine.data.corpora import registry
from ser_engine.data.encodings import encode_clips
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.cards import write_card
from ser_engine.evaluation.predictions import COMPONENT, MAIN, UNTESTED, Outputs
from ser_engine.evaluation.record import RunRecord
from ser_engine.features.encoder import Encoding
from ser_engine.io import atomic_write
from ser_engine.models import trained_on
from ser_engine.models.batching import map_alike
from ser_engine.models.device import CPU, choose_device
from ser_engine.models.store import reference
from ser_engine.models.whisper_heads import WhisperHeads
from ser_engine.models.whisper_statistics import HeadConfig, mean_log_probs
from ser_engine.models.whisper_tuned import TunedHead, WhisperTuned
from ser_engine.training import heads
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.config import STRICT, Count, Rate, load_config
from ser_engine.training.head_tasks import STANDARDIZED, BlocksConfig, BlocksTask, FramesTask, HeadsConfig, standardize
from ser_engine.training.system import Prepared, Task, Workspace, digest
from ser_engine.training.systems.whisper_heads import WhisperHeadsSystem, score_encodings
from ser_engine.training.talk import TalkSystem

Lower = NDArray[np.float16]
"""States of the encoder's lower blocks: [t, width], 40 ms each."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TunedConfig(BlocksConfig):
    """An experiment with fine-tuned blocks next to a finished run on the frozen encoder.

    Attributes
    ----------
    base_run : "<source>/<system>" of that run
    members : number of tuned members, each with blocks and a head of its own
    """

    base_run: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]
    members: Count = 5
    epochs: Count = 40
    batch: Count = 64
    learning_rate: Rate = 1e-3


@dataclasses.dataclass(frozen=True)
class TunedFeatures:
    """Lower states of every copy of the clips, and the log-probabilities of the base run by the name of the output."""

    copies: dict[str, list[Lower | None]]
    base: Outputs


class WhisperTunedSystem(
    TalkSystem[TunedConfig, TunedFeatures, list[TunedHead]],
    heads.HeadSystem[TunedConfig, TunedFeatures, list[TunedHead]],
):
    """Tuned members on states of the lower blocks, averaged with the heads of the base run."""

    config_class = TunedConfig

    def __init__(self, config: TunedConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        base = load_config(workspace.configs / f"{config.base_run}.toml", config.protocol)
        if not isinstance(base, HeadsConfig):
            raise InvalidSettings(f"base_run names {config.base_run}, which is no run of heads.")
        for name in ("corpora", "label_set"):
            if getattr(base, name) != getattr(config, name):
                raise InvalidSettings(f"{config.id} and its base run {config.base_run} differ in {name}.")
        if not set(config.degradations) <= set(base.degradations):
            raise InvalidSettings(f"{config.id} has degradations that its base run {config.base_run} lacks.")
        self.base = WhisperHeadsSystem(base, workspace)
        self.encoder = self.base.encoder

    @property
    def finished_run(self) -> str:
        """The base run."""
        return self.config.base_run

    @property
    def inputs(self) -> str:
        """The tuned blocks and the base run."""
        return f"tuned blocks of Whisper-base's encoder, averaged with {self.config.base_run}"

    def prepare(self, clips: Clips) -> Prepared[TunedFeatures]:
        """Compute the lower states of every copy of the clips, and read the base run's predictions."""
        base = self.read_run(self.config.base_run, clips)
        encoded = heads.encode_copies(encode_clips, self.without_talk(clips), self.config, self.settings)
        corpora = {utterance.corpus for utterance in self.talk.utterances}
        known = [one for name in sorted(corpora) for one in registry.read_corpus(name, self.settings.data)]
        paths = {(one.corpus, one.name): one.path for one in known}
        talk = [paths[one.corpus, one.name] for one in self.talk.utterances]
        windows = encode_clips(talk, self.settings, degradation="crop")
        copies = {name: _lower([*own, *([None] * len(talk) if name else windows)]) for name, own in encoded.items()}
        arrays = (states for features in copies.values() for states in features if states is not None)
        return Prepared(clips, TunedFeatures(copies, base.outputs), digest(arrays=arrays))

    def prepare_external(self, clips: Clips) -> Prepared[TunedFeatures]:
        """Compute the lower states of clips, and the predictions of the base model; see the base system's method."""
        prepared = self.base.prepare_external(clips)
        encodings = prepared.features[""]
        members = WhisperHeads.load(self.settings.models_dir / self.base.config.id, self.settings).members
        rows = np.arange(len(encodings))
        base = heads.at_speech(partial(score_encodings, members), encodings, rows, len(clips.order))
        return Prepared(prepared.clips, TunedFeatures({"": _lower(encodings)}, {MAIN: base}), "")

    def fit(self, prepared: Prepared[TunedFeatures], task: Task) -> list[TunedHead]:
        """Train the members; those that an earlier attempt has finished are loaded."""
        config = self.config
        rows, copies = heads.training_copies(prepared.features.copies, config.augmentation, task.train)
        targets = heads.smoothed_targets(prepared.clips, rows, config)
        weights = heads.sampling_weights(prepared.clips, rows, config)
        members: list[TunedHead] = []
        for number in range(config.members):
            saved = task.state.folder / f"fold-{task.name}-member-{number}.safetensors"
            if saved.exists():
                member = untrained(config, self.encoder, targets.shape[1]).eval()
                member.load_state_dict(load_file(saved))
            else:
                history = task.state.history(task.number, task.name, members=number)
                device = choose_device(self.settings)
                member = train_tuned(copies, targets, weights, config, self.encoder, number, history, device)
                with atomic_write(saved) as part:
                    save_file(member.state_dict(), part)
            members.append(member)
        return members

    def predict(self, fitted: list[TunedHead], prepared: Prepared[TunedFeatures], rows: Rows) -> Outputs:
        """Return log-probabilities of the average of both parts, and of each part by itself."""
        classes = len(prepared.clips.order)
        compute = partial(_stack, partial(mean_log_probs, fitted))
        tuned = heads.predict_copies(compute, prepared.features.copies, rows, classes)
        return self.combine(tuned, {name: output[rows] for name, output in prepared.features.base.items()})

    def combine(self, tuned: Outputs, base: Outputs) -> Outputs:
        """Return the mean of the tuned heads and of the base run's, each head with the same weight."""
        shape, count = self.base.config, self.config.members
        others = shape.statistics + shape.frozen + shape.tuned

        def average(own: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
            tested = (other != UNTESTED).any(axis=1)
            result = np.full_like(other, UNTESTED)
            mean = (count * own[tested] + others * other[tested]) / (count + others)
            result[tested] = log_softmax(mean, axis=-1)
            return result

        outputs = {name: average(own, base[name]) for name, own in tuned.items()}
        return outputs | {f"{COMPONENT}tuned": tuned[MAIN], f"{COMPONENT}frozen": base[MAIN]}

    def embed(
        self, fitted: list[TunedHead], prepared: Prepared[TunedFeatures], rows: Rows
    ) -> dict[str, NDArray[np.float32]]:
        """Return the mean of the lower states over time, and the input of the members' last layers."""

        def embed(lower: Tensor) -> Tensor:
            return torch.cat([member.embed(lower) for member in fitted], dim=1)

        states = prepared.features.copies[""]
        width = self.encoder.positional_embedding.shape[1]
        return {
            "encoder": heads.at_speech(partial(_stack, partial(torch.mean, dim=1)), states, rows, width),
            "model": heads.at_speech(partial(_stack, embed), states, rows, self.config.hidden * len(fitted)),
        }

    def export(self, fitted: list[TunedHead], prepared: Prepared[TunedFeatures], temperature: float) -> WhisperTuned:
        """Return the members and the base model as one model."""
        base = self.settings.models_dir / self.base.config.id
        base_model = WhisperHeads.load(base, self.settings)
        return WhisperTuned(self.config.id, fitted, base_model, reference(base), temperature)

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the corpora of both parts, and the measured figures."""
        return super().card(record) | {"corpora": self._corpora}

    def training_files(self, prepared: Prepared[TunedFeatures]) -> list[Path]:
        """Return nothing: `write_card` copies the base model's list."""
        return []

    def write_card(self, folder: Path, record: RunRecord) -> None:
        """Write the model card; the training clips are those of the base model."""
        base = self.settings.models_dir / self.base.config.id
        copyfile(base / trained_on.FILE, folder / trained_on.FILE)
        write_card(folder, record, self._corpora, base.name)

    @property
    def _corpora(self) -> list[str]:
        return sorted({*self.config.corpora, *self.base.config.auxiliary})


def _lower(encodings: Sequence[Encoding | None]) -> list[Lower | None]:
    return [one and one.lower for one in encodings]


def train_tuned(
    copies: Sequence[Sequence[Lower]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: TunedConfig,
    encoder: AudioEncoder,
    number: int,
    record: heads.Record | None = None,
    device: torch.device = CPU,
) -> TunedHead:
    """Train one member on a device; it is returned on the CPU.

    `copies` are the states of n clips as they are, then of each augmented copy of them; the member's blocks are copies
    of those of `encoder`. See `heads.train_member` for the rest.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed + number)
    member = untrained(config, encoder, targets.shape[1]).to(device)
    frames = [_frames(member, states, _precision(config)) for states in copies]
    chosen = np.random.default_rng(config.seed).permutation(len(frames[0]))[:STANDARDIZED]
    standardize(member, [frames[0][row] for row in chosen])
    distributions = torch.from_numpy(targets)
    heads.train_member(FramesTask(member, frames, config), distributions, weights, config, number, record)
    del frames
    blocks = BlocksTask(member, copies, config)
    heads.train_member(blocks, distributions, weights, config, number, record, config.attentive_epochs)
    member.load_state_dict(blocks.averaged.module.state_dict())
    return member.cpu().eval()


def untrained(config: TunedConfig, encoder: AudioEncoder, labels: int) -> TunedHead:
    """Return a member with the encoder's own blocks and a random head."""
    shape = HeadConfig(
        labels=labels,
        width=encoder.positional_embedding.shape[1],
        hidden=config.hidden,
        dropout=config.dropout,
        projection=config.projection,
        attention_heads=config.attention_heads,
    )
    return TunedHead(encoder, config.blocks, shape)


def _precision(config: TunedConfig) -> torch.dtype:
    return torch.bfloat16 if config.bfloat16 else torch.float32


def _frames(member: TunedHead, clips: Sequence[Lower], precision: torch.dtype) -> list[Lower]:
    """Return what the blocks of a member compute of n clips: float16 [t, width] each."""
    device = member.frame_mean.device
    return _by_length(lambda lower: member.frames(lower.to(device), dtype=precision).half().cpu(), clips)


def _by_length(compute: Callable[[Tensor], Tensor], clips: Sequence[Lower]) -> list[NDArray[Any]]:
    """Return what is computed of n clips, in batches of one length, in their order."""

    def compute_array(batch: list[Lower]) -> NDArray[Any]:
        return compute(torch.from_numpy(np.stack(batch)).float()).numpy()

    with torch.inference_mode():
        return map_alike(compute_array, clips, len, heads.SCORED)


def _stack(compute: Callable[[Tensor], Tensor], clips: Sequence[Lower]) -> NDArray[np.float32]:
    """Return what is computed of n clips, of one shape for all, as one array."""
    return np.stack(_by_length(compute, clips))


SYSTEM = WhisperTunedSystem
