"""The tuned part of the bundled model: fine-tuned blocks of Whisper's encoder, averaged with a run on the frozen one.

The states of the lower blocks are computed once and cached, so that an epoch costs the tuned blocks alone. A head is
trained first, on frozen blocks; then both are trained, and a moving average of their weights is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
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

from ser_engine.data.encodings import encode_clips
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.predictions import COMPONENT, DEGRADED, MAIN, Outputs
from ser_engine.features.encoder import Encoding
from ser_engine.io import atomic_write
from ser_engine.models.batching import map_alike
from ser_engine.models.store import reference
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_statistics import HeadConfig, WhisperStatistics, mean_log_probs
from ser_engine.models.whisper_tuned import TunedHead, WhisperTuned
from ser_engine.training import heads
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.config import STRICT, Count, Rate, load_config
from ser_engine.training.head_tasks import STANDARDIZED, BlocksConfig, BlocksTask, FramesTask, standardize
from ser_engine.training.system import Prepared, Task, Workspace, digest
from ser_engine.training.systems.whisper_statistics import StatisticsConfig, log_probabilities

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
    """Lower states of every copy of the clips, and the log-probabilities of the frozen model for every copy."""

    copies: dict[str, Any]
    base: dict[str, Any]


class WhisperTunedSystem(heads.HeadSystem[TunedConfig, TunedFeatures, list[TunedHead]]):
    """Tuned members on states of the lower blocks, averaged with the frozen model."""

    config_class = TunedConfig

    def __init__(self, config: TunedConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        base = load_config(workspace.configs / f"{config.base_run}.toml", config.protocol)
        if not isinstance(base, StatisticsConfig):
            raise InvalidSettings(f"base_run names {config.base_run}, which is no run on the frozen encoder.")
        for name in ("corpora", "label_set", "degradations"):
            if getattr(base, name) != getattr(config, name):
                raise InvalidSettings(f"{config.id} and its base run {config.base_run} differ in {name}.")
        self.base_id = base.id
        self.encoder = shared_whisper(dataclasses.replace(self.settings, whisper="base")).encoder

    @property
    def inputs(self) -> str:
        """The tuned blocks and the base run."""
        return f"tuned blocks of Whisper-base's encoder, averaged with {self.config.base_run}"

    def prepare(self, clips: Clips) -> Prepared[TunedFeatures]:
        """Compute the lower states of every copy of the clips, and read the base run's predictions."""
        config = self.config
        encoded = heads.encode_copies(encode_clips, clips, config, self.settings)
        copies = {name: [one and one.lower for one in encodings] for name, encodings in encoded.items()}
        predictions = self.read_run(config.base_run, clips)
        base = {"": predictions.main} | {name: predictions.outputs[DEGRADED + name] for name in config.degradations}
        arrays = (states for features in copies.values() for states in features if states is not None)
        return Prepared(clips, TunedFeatures(copies, base), digest(arrays=arrays))

    def prepare_external(self, clips: Clips) -> Prepared[TunedFeatures]:
        """Compute the lower states of clips, and the predictions of the base model."""
        head = WhisperStatistics.load(self.settings.models_dir / self.base_id, self.settings).head
        encodings: Sequence[Encoding | None] = encode_clips(clips.paths, self.settings)
        everything = np.arange(len(encodings))
        base = heads.at_speech(lambda some: log_probabilities(head, some), encodings, everything, len(clips.order))
        return Prepared(clips, TunedFeatures({"": [one and one.lower for one in encodings]}, {"": base}), "")

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
                member = train_tuned(copies, targets, weights, config, self.encoder, number, history)
                with atomic_write(saved) as part:
                    save_file(member.state_dict(), part)
            members.append(member)
        return members

    def predict(self, fitted: list[TunedHead], prepared: Prepared[TunedFeatures], rows: Rows) -> Outputs:
        """Return log-probabilities of the average of both parts, and of each part by itself."""
        features, classes = prepared.features, len(prepared.clips.order)
        tuned = heads.predict_copies(partial(_stack, partial(mean_log_probs, fitted)), features.copies, rows, classes)
        frozen = {f"{DEGRADED}{name}" if name else MAIN: base[rows] for name, base in features.base.items()}
        # The geometric mean of both parts.
        outputs = {name: log_softmax((tuned[name] + frozen[name]) / 2, axis=-1).astype(np.float32) for name in tuned}
        return outputs | {f"{COMPONENT}tuned": tuned[MAIN], f"{COMPONENT}frozen": frozen[MAIN]}

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
        base = self.settings.models_dir / self.base_id
        base_model = WhisperStatistics.load(base, self.settings)
        return WhisperTuned(self.config.id, fitted, base_model, reference(base), temperature)

    def training_files(self, prepared: Prepared[TunedFeatures]) -> list[Path]:
        """Return the recordings with speech."""
        states = prepared.features.copies[""]
        return [path for path, one in zip(prepared.clips.paths, states, strict=True) if one is not None]


def train_tuned(
    copies: Sequence[Sequence[Lower]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: TunedConfig,
    encoder: AudioEncoder,
    number: int,
    record: heads.Record | None = None,
) -> TunedHead:
    """Train one member, on a GPU if there is one.

    `copies` are the states of n clips as they are, then of each augmented copy of them; the member's blocks are copies
    of those of `encoder`. See `heads.train_member` for the rest.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed + number)
    member = untrained(config, encoder, targets.shape[1]).to("cuda" if torch.cuda.is_available() else "cpu")
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
