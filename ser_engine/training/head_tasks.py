"""Training of one head on Whisper's encoder, on statistics or on frames, and of its own blocks together with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ser_engine.features.encoder import FRAME_LAYERS, LOWER_BLOCKS, Encoding
from ser_engine.models.device import CPU
from ser_engine.models.whisper_heads import AttentiveMember, Member, StatisticsMember
from ser_engine.training import heads
from ser_engine.training.baselines import FRAMES_PER_S, TrainingBaselines
from ser_engine.training.clips import Rows
from ser_engine.training.config import STRICT, Count, Names, Natural, Rate, Share

TUNABLE_BLOCKS = 4
"""Blocks of Whisper-base above `features.encoder.LOWER_BLOCKS`."""
STANDARDIZED = 1000
"""Clips from which the mean and deviation of the frames are computed."""
GRADIENT_NORM = 1.0
"""Bound on the norm of the blocks' gradient."""
LAYER_RATE = 5.0
"""Learning rate of the layer weights, in parts of the others': they have far to travel in few steps."""
MASKS = 2
SHORTEST = 0.4
"""Length of the shortest random crop, in parts of the longest."""

Frames = NDArray[np.floating[Any]]
"""Frames or lower states of a clip, [t, width]."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BlocksConfig(heads.HeadTrainingConfig):
    """What experiments with fine-tuned blocks share; the entries `attentive_…` are of the training of heads.

    Attributes
    ----------
    blocks : number of tuned blocks, from the one after `features.encoder.LOWER_BLOCKS`
    epochs, batch, learning_rate : training of the blocks; AdamW with a one-cycle schedule
    head_learning_rate : of the head in these epochs
    masked : largest share of a clip's frames that is masked in the training of blocks, twice (Park et al., 2019)
    averaging : decay of the moving average of the weights; 0 for the last weights
    bfloat16 : whether the blocks are trained in bfloat16; for processors that have it
    """

    blocks: Annotated[int, Field(ge=1, le=TUNABLE_BLOCKS)] = 2
    epochs: Count = 3
    batch: Count = 32
    learning_rate: Rate = 1e-4
    head_learning_rate: Rate = 3e-4
    masked: Share = 0.0
    averaging: Share = 0.998
    bfloat16: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadsConfig(BlocksConfig):
    """An experiment with frozen and tuned heads.

    Attributes
    ----------
    auxiliary : corpora that are trained on and measured apart; the clips that an epoch draws of each, as a share of
        those of the measured corpora
    mixes : copies of each clip by the domain mix (`data.degrade`)
    crowds : copies of each clip of the measured corpora by the domain mix among other voices
    degraded : share of the clips that are tested under each degradation
    voices : corpora of talk for the babble of the domain mix, without the speakers that are held out
    noises, rooms : folders of recordings for the domain mix, relative to the data folder
    plain : share of the draws that take a clip as it is
    ordinary : probability of neutral in the target of ordinary talk; the other labels share the rest, so that the
        heads learn to be unsure of it (Hendrycks et al., 2019)
    taught : share of that target that a teacher predicts instead, a head that is trained without ordinary talk first,
        so that the order of the labels stays what emotional speech teaches (Hinton et al., 2015)
    perceived : share of a target that the labels of most listeners have, where they are known
    baselines : share of the draws that are classified relative to a baseline of their speaker
    crop_s : seconds of the longest random crop; the shortest is 0.4 of it
    statistics, frozen, tuned : number of heads on statistics, of frozen attentive heads, and of attentive heads with
        `blocks` tuned blocks
    mixtures : layer mixes of a head on statistics
    statistics_epochs, statistics_batch, statistics_learning_rate : training of the heads on statistics
    """

    auxiliary: dict[str, float] = dataclasses.field(default_factory=dict)
    mixes: Natural = 0
    crowds: Natural = 0
    degraded: Share = 1.0
    voices: Names = ()
    noises: str = ""
    rooms: str = ""
    plain: Share = 0.5
    ordinary: Share = 0.3
    taught: Share = 0.5
    perceived: Share = 0.0
    baselines: Share = 0.0
    crop_s: Annotated[float, Field(ge=0.5, le=30)] = 4.0
    statistics: Natural = 0
    frozen: Natural = 1
    tuned: Natural = 0
    mixtures: Count = 3
    statistics_epochs: Count = 20
    statistics_batch: Count = 256
    statistics_learning_rate: Rate = 2e-3


class StatisticsTask(heads.MemberTask):
    """Training of a head on statistics of each copy of the clips."""

    member: StatisticsMember

    def __init__(
        self,
        member: StatisticsMember,
        copies: Sequence[Sequence[Encoding]],
        config: HeadsConfig,
        baselines: TrainingBaselines | None = None,
    ) -> None:
        self.member, self.baselines = member, baselines
        self.statistics = [np.stack([one.statistics for one in encodings]) for encodings in copies]
        self.copies, self.plain = len(copies) - 1, config.plain
        self.device = member.mean.device
        self.epochs, self.batch = config.statistics_epochs, config.statistics_batch
        self.rates = [LAYER_RATE * config.statistics_learning_rate, config.statistics_learning_rate]
        self.groups: list[dict[str, Any]] = [
            {"params": [member.head.layer_logits], "weight_decay": 0.0},
            {"params": member.classifier.parameters(), "weight_decay": config.weight_decay},
        ]
        sample = self.statistics[0].astype(np.float32)
        member.mean.copy_(torch.from_numpy(sample.mean(axis=0)))
        member.scale.copy_(torch.from_numpy(1.0 / (sample.std(axis=0) + 1e-3)))

    def batches(self, order: Rows, copy: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch in batches: statistics have one length."""
        return np.array_split(order, -(-len(order) // self.batch))

    def pool(self, rows: Rows, copy: Rows) -> Tensor:
        """Return the weighted layers of each clip."""
        drawn = np.stack([self.statistics[which][row] for which, row in zip(copy, rows, strict=True)])
        drawn = drawn.astype(np.float32)
        if self.baselines:
            drawn[:, :, 0] -= self.baselines.shifts(rows, copy)
        return self.member.pool(torch.from_numpy(drawn).to(self.device))


class FramesTask(heads.MemberTask):
    """Training of a head on frames [t, width] of each copy of the clips.

    A clip is cut at a random place to the length of the shortest of its batch, or to a random length of at most
    `longest` frames, if that is given. `layers` are those whose mean the frames are.
    """

    layers: tuple[int, ...] = FRAME_LAYERS

    def __init__(
        self,
        member: Any,
        copies: Sequence[Sequence[Frames]],
        config: BlocksConfig,
        longest: int = 0,
        plain: float = heads.UNDEGRADED,
        baselines: TrainingBaselines | None = None,
    ) -> None:
        self.member, self.states, self.config, self.baselines = member, copies, config, baselines
        self.copies, self.plain, self.longest = len(copies) - 1, plain, longest
        self.lengths = np.array([[len(states) for states in copy] for copy in copies])
        if longest:
            self.lengths = np.minimum(self.lengths, longest)
        self.rng = np.random.default_rng(config.seed)
        self.device = next(member.parameters()).device
        self.epochs, self.batch = config.attentive_epochs, config.attentive_batch
        self.rates = [config.attentive_learning_rate]
        self.groups: list[dict[str, Any]] = [
            {"params": list(member.head.parameters()), "weight_decay": config.weight_decay}
        ]

    def pool(self, rows: Rows, copy: Rows) -> Tensor:
        """Return the pooled frames of each clip."""
        pooled: Tensor = self.member.pool(self.frames(self.cut(rows, copy)))
        return pooled

    def frames(self, states: Tensor) -> Tensor:
        """Return the frames of states [batch, t, width]: the states themselves."""
        return states

    def cut(self, rows: Rows, copy: Rows) -> Tensor:
        """Return states [batch, t, width] of clips, cut."""
        clips = [self.states[which][row] for which, row in zip(copy, rows, strict=True)]
        length = min(map(len, clips))
        if self.longest:
            length = min(length, round(self.rng.uniform(SHORTEST * self.longest, self.longest)))
        starts = [int(self.rng.integers(len(states) - length + 1)) for states in clips]
        cut = np.stack([states[start : start + length] for states, start in zip(clips, starts, strict=True)])
        drawn = torch.from_numpy(cut).to(self.device).float()
        if self.baselines:
            shifts = self.baselines.shifts(rows, copy)[:, list(self.layers)].mean(axis=1, keepdims=True)
            drawn -= torch.from_numpy(shifts).to(self.device)
        return drawn


class BlocksTask(FramesTask):
    """Training of a head's blocks and the head together, on states of the lower blocks.

    `averaged` is the moving average of the weights.
    """

    layers = (LOWER_BLOCKS,)

    def __init__(
        self,
        member: Any,
        copies: Sequence[Sequence[Frames]],
        config: BlocksConfig,
        longest: int = 0,
        plain: float = heads.UNDEGRADED,
        baselines: TrainingBaselines | None = None,
    ) -> None:
        super().__init__(member, copies, config, longest, plain, baselines)
        self.epochs, self.batch = config.epochs, config.batch
        self.rates = [config.learning_rate, config.head_learning_rate]
        self.groups = [
            {"params": list(member.blocks.parameters()), "weight_decay": config.weight_decay, "clip": GRADIENT_NORM},
            *self.groups,
        ]
        self.averaged = AveragedModel(member, multi_avg_fn=partial(heads.moving_average, config.averaging))

    def step(self) -> None:
        """Update the moving average."""
        self.averaged.update_parameters(self.member)

    def frames(self, states: Tensor) -> Tensor:
        """Return the frames that the blocks compute of states [batch, t, width], parts of which are masked."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            computed: Tensor = self.member.frames(states, self._mask(*states.shape[:2]))
        return computed.float()

    def _mask(self, batch: int, frames: int) -> Tensor:
        """Return which frames are masked, bool [batch, frames]: random stretches."""
        masked = np.zeros((batch, frames), bool)
        most = int(self.config.masked * frames)
        for row in masked if most else ():
            for _ in range(MASKS):
                length = int(self.rng.integers(most))
                start = int(self.rng.integers(frames - length + 1))
                row[start : start + length] = True
        return torch.from_numpy(masked).to(self.device)


def train_head(
    member: Member,
    copies: Sequence[Sequence[Encoding]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float64],
    config: HeadsConfig,
    number: int,
    record: heads.Record | None = None,
    baselines: TrainingBaselines | None = None,
    frozen: AttentiveMember | None = None,
    device: torch.device = CPU,
) -> Member:
    """Train one head on a device, together with its blocks if it has any; it is returned on the CPU.

    `copies` are the encodings of n clips as they are, then of each augmented copy of them. A tuned head begins as the
    trained `frozen` one; without it, it is trained on the frames of untuned blocks first. See `heads.train_member` for
    the rest.
    """
    torch.set_flush_denormal(True)
    member.to(device)
    distributions = torch.from_numpy(targets)
    if isinstance(member, StatisticsMember):
        statistics = StatisticsTask(member, copies, config, baselines)
        heads.train_member(statistics, distributions, weights, config, number, record)
    elif isinstance(member, AttentiveMember):
        longest, done = round(config.crop_s * FRAMES_PER_S), 0
        chosen = np.random.default_rng(config.seed).permutation(len(targets))[:STANDARDIZED]
        standardize(member, member.input_frames([copies[0][row] for row in chosen]))
        if len(member.blocks) and frozen is not None:
            member.head.load_state_dict(frozen.head.state_dict())
        else:
            frames = [member.input_frames(encodings) for encodings in copies]
            task = FramesTask(member, frames, config, longest, config.plain, baselines)
            heads.train_member(task, distributions, weights, config, number, record)
            done = config.attentive_epochs
            del frames, task
        if len(member.blocks):
            lower = [[one.lower for one in encodings] for encodings in copies]
            blocks = BlocksTask(member, lower, config, longest, config.plain, baselines)
            heads.train_member(blocks, distributions, weights, config, number, record, done)
            member.load_state_dict(blocks.averaged.module.state_dict())
    return member.cpu().eval()


def standardize(member: Any, frames: Sequence[Frames]) -> None:
    """Set a head's mean and deviation to those of the frames before any block is tuned."""
    sample = torch.from_numpy(np.concatenate(frames)).float()
    member.frame_mean.copy_(sample.mean(dim=0))
    member.frame_scale.copy_(1.0 / (sample.std(dim=0) + 1e-3))
