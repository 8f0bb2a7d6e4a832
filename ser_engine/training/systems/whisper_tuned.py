"""Tune blocks of Whisper's encoder fold by fold, from what leaves the blocks below them, to stand beside a frozen run.

The states of the lower blocks are computed once and kept, so that an epoch costs the tuned blocks alone. A head learns
first, on blocks that stay as they are; then both learn, and what is kept is a moving average of their weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.special import log_softmax
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from whisper.model import AudioEncoder

from ser_engine.data.cache import encoder_outputs, lower_outputs, replacing
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import predictions
from ser_engine.evaluation.evaluate import decide
from ser_engine.evaluation.metrics import accuracies
from ser_engine.models import store as weights
from ser_engine.models.whisper_statistics import HeadConfig, WhisperStatistics
from ser_engine.models.whisper_tuned import TunedMember, WhisperTuned, opinion
from ser_engine.settings import Settings
from ser_engine.training.config import TrainingConfig, TunedTraining, read_config
from ser_engine.training.heads import (
    LENGTH_JITTER,
    SCORED,
    History,
    OnMember,
    Rows,
    about_one_length,
    log_probabilities,
    train_task,
)
from ser_engine.training.runner import Experiment, present, read, state_of, talkers_of

# Of the clips, so many tell the mean and deviation of the frames.
STANDARDISED = 1000
# The norm that the gradient of the blocks is held under.
CLIP = 1.0
MASKS = 2

Lower = NDArray[np.float16]
"""What leaves the encoder's lower blocks: [t, width], 40 ms each."""


class _Head(OnMember):
    """How the head of a member is trained on what its blocks, as they are, make of each version of the recordings."""

    member: TunedMember

    def __init__(self, member: TunedMember, versions: Sequence[Sequence[Lower]], config: TunedTraining) -> None:
        self.member, self.versions, self.config = member, versions, config
        self.further = len(versions) - 1
        self.lengths = np.array([[len(one) for one in version] for version in versions])
        self.rng = np.random.default_rng(config.seed)
        self.device = next(member.parameters()).device
        self.epochs, self.batch = config.attentive_epochs, config.attentive_batch
        self.rates = [config.attentive_learning_rate]
        self.groups: list[dict[str, Any]] = [
            {"params": list(member.head.parameters()), "weight_decay": config.weight_decay}
        ]

    def batches(self, order: Rows, version: Rows, rng: np.random.Generator) -> list[Rows]:
        """Return the rows of an epoch, batch by batch; of about one length in each."""
        return about_one_length(order, self.lengths[version[order], order], self.batch, LENGTH_JITTER, rng)

    def pool(self, rows: Rows, version: Rows) -> Tensor:
        """Return what is mixed up: what the head keeps of each recording."""
        return self.member.pool(self.cut(rows, version))

    def cut(self, rows: Rows, version: Rows) -> Tensor:
        """Return recordings [batch, t, width], each cut, anywhere, to the length of the shortest."""
        some = [self.versions[which][row] for which, row in zip(version, rows, strict=True)]
        length = min(map(len, some))
        starts = [int(self.rng.integers(len(one) - length + 1)) for one in some]
        cut = np.stack([one[start : start + length] for one, start in zip(some, starts, strict=True)])
        return torch.from_numpy(cut).to(self.device).float()


class _Blocks(_Head):
    """How the blocks of a member and its head are trained together on each version of what leaves the lower blocks.

    `averaged` is the mean of its latest weights.
    """

    def __init__(self, member: TunedMember, versions: Sequence[Sequence[Lower]], config: TunedTraining) -> None:
        super().__init__(member, versions, config)
        self.dtype = _precision(config)
        self.epochs, self.batch = config.epochs, config.batch
        self.rates = [config.learning_rate, config.head_learning_rate]
        self.groups = [
            {"params": list(member.blocks.parameters()), "weight_decay": config.weight_decay, "clip": CLIP},
            *self.groups,
        ]
        self.averaged = AveragedModel(member, multi_avg_fn=partial(_moving_average, config.averaging))

    def stepped(self) -> None:
        """Move the mean of the weights."""
        self.averaged.update_parameters(self.member)

    def pool(self, rows: Rows, version: Rows) -> Tensor:
        """Return what is mixed up: what the head keeps of each recording, parts of which are hidden."""
        lower = self.cut(rows, version)
        return self.member.pool(self.member.frames(lower, self._hidden(*lower.shape[:2]), self.dtype))

    def _hidden(self, batch: int, frames: int) -> Tensor:
        """Return which frames are hidden, bool [batch, frames]: random stretches."""
        hidden = np.zeros((batch, frames), bool)
        most = int(self.config.masked * frames)
        for row in hidden if most else ():
            for _ in range(MASKS):
                length = int(self.rng.integers(most))
                start = int(self.rng.integers(frames - length + 1))
                row[start : start + length] = True
        return torch.from_numpy(hidden).to(self.device)


@torch.no_grad()
def _moving_average(decay: float, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
    """Let the mean keep `decay` of itself; less at first, when it knows little."""
    kept = min(decay, (float(count) + 1) / (float(count) + 10))
    for mean, now in zip(averaged, current, strict=True):
        mean.lerp_(now, 1 - kept)


def train_tuned(
    versions: Sequence[Sequence[Lower | None]],
    targets: NDArray[np.float32],
    chances: NDArray[np.float64],
    config: TunedTraining,
    encoder: AudioEncoder,
    number: int,
    history: History | None = None,
) -> TunedMember:
    """Train one member, on a GPU where there is one.

    Parameters
    ----------
    versions : states of the n recordings as they are, then of each version of them that is learned from, too; None
        where there was no speech in it any more, so that it is heard as it is
    targets : float32 [n, labels], each row a distribution
    chances : [n], how often each utterance is drawn in relation to the others
    encoder : whose blocks are copied
    number : of the member, which decides its seed
    history : told the loss after each epoch
    """
    torch.set_flush_denormal(True)
    plain = present(versions[0], range(len(versions[0])))
    assert len(plain) == len(versions[0])  # who calls leaves out recordings without speech
    filled = [[one if one is not None else other for one, other in zip(v, plain, strict=True)] for v in versions]
    torch.manual_seed(config.seed + number)
    member = untrained(config, encoder).to("cuda" if torch.cuda.is_available() else "cpu")
    frames = [_frames(member, version, _precision(config)) for version in filled]
    _standardise(member, frames[0], np.random.default_rng(config.seed))
    wanted = torch.from_numpy(targets)
    head = _Head(member, frames, config)
    train_task(head, wanted, chances, config, number, history)
    del head, frames
    blocks = _Blocks(member, filled, config)
    train_task(blocks, wanted, chances, config, number, history, config.attentive_epochs)
    member.load_state_dict(blocks.averaged.module.state_dict())
    return member.cpu().eval()


def untrained(config: TunedTraining, encoder: AudioEncoder) -> TunedMember:
    """Return a member with the encoder's own blocks and a random head."""
    shape = HeadConfig(
        labels=len(config.labels),
        width=encoder.positional_embedding.shape[1],
        hidden=config.hidden,
        dropout=config.dropout,
        projection=config.projection,
        attention_heads=config.attention_heads,
    )
    return TunedMember(encoder, config.blocks, shape)


def _precision(config: TunedTraining) -> torch.dtype:
    """Return what the blocks compute in while they learn."""
    return torch.bfloat16 if config.bfloat16 else torch.float32


def _frames(member: TunedMember, clips: Sequence[Lower], precision: torch.dtype) -> list[Lower]:
    """Return what the blocks of a member make of n recordings: float16 [t, width] each."""
    device = member.frame_mean.device

    def compute(lower: Tensor) -> Tensor:
        return member.frames(lower.to(device), dtype=precision).half().cpu()

    return _of_each(compute, clips)


def _standardise(member: TunedMember, frames: Sequence[Lower], rng: np.random.Generator) -> None:
    """Give a member the mean and deviation of the frames that its blocks make before they are tuned."""
    rows = rng.permutation(len(frames))[:STANDARDISED]
    found = torch.from_numpy(np.concatenate([frames[row] for row in rows])).float()
    member.frame_mean.copy_(found.mean(dim=0))
    member.frame_scale.copy_(1.0 / (found.std(dim=0) + 1e-3))


def _of_each(compute: Callable[[Tensor], Tensor], clips: Sequence[Lower]) -> list[NDArray[Any]]:
    """Return what is computed of n recordings, batch by batch of one length, in their order."""
    rows_of = defaultdict(list)
    for row, one in enumerate(clips):
        rows_of[len(one)].append(row)
    found: dict[int, NDArray[Any]] = {}
    with torch.inference_mode():
        for rows in rows_of.values():
            for first in range(0, len(rows), SCORED):
                some = rows[first : first + SCORED]
                told = compute(torch.from_numpy(np.stack([clips[row] for row in some])).float()).numpy()
                found |= dict(zip(some, told, strict=True))
    return [found[row] for row in range(len(clips))]


def _stacked(compute: Callable[[Tensor], Tensor], features: Sequence[Lower]) -> NDArray[np.float32]:
    """Return what is computed of n recordings, of one shape for all, as one array."""
    return np.stack(_of_each(compute, features))


def together(own: NDArray[np.float32], beside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return joint log-probabilities [..., labels], in which both have the same say."""
    joint: NDArray[np.float32] = log_softmax((own + beside) / 2, axis=-1).astype(np.float32)
    return joint


@dataclass(frozen=True)
class TunedExperiment(Experiment[Lower, list[TunedMember]]):
    """Tuned members on states of the lower blocks; `encoder` and `beside` are what they are made of and stand beside.

    `source` is the name of the run that the model `beside` comes from.
    """

    config: TunedTraining
    encoder: AudioEncoder
    beside: Path
    source: str

    def train(
        self,
        versions: Sequence[Sequence[Lower | None]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float64],
        fold: str,
    ) -> list[TunedMember]:
        """Return the members; those that `state` keeps of an earlier attempt are not trained again."""
        members: list[TunedMember] = []
        for number in range(self.config.members):
            part = f"fold-{fold}-member-{number}"
            kept = self.state / f"{part}.safetensors"
            if kept.exists():
                member = untrained(self.config, self.encoder).eval()
                member.load_state_dict(load_file(kept))
            else:
                history = self.history(fold, members=number)
                with self.timed(part):
                    member = train_tuned(versions, targets, weights, self.config, self.encoder, number, history)
                with replacing(kept) as beside:
                    save_file(member.state_dict(), beside)
            members.append(member)
        return members

    def opinions(self, trained: list[TunedMember], features: Sequence[Lower]) -> NDArray[np.float32]:
        """Return log-probabilities float32 [n, labels] of n clips, of the members alone."""
        return _stacked(partial(opinion, trained), features)

    def sources(self, trained: list[TunedMember]) -> list[Callable[[Sequence[Any]], NDArray[np.float32]]]:
        """Return what makes embeddings: the mean of the states over time, and of the members' last layers."""

        def embed(lower: Tensor) -> Tensor:
            return torch.cat([member.embed(lower) for member in trained], dim=1)

        return [partial(_stacked, partial(torch.mean, dim=1)), partial(_stacked, embed)]

    def external_opinions(
        self, trained: list[TunedMember], paths: Sequence[Path], settings: Settings
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Return in which of some recordings there is speech, int [m], and joint log-probabilities [m, labels]."""
        lower, encoded = lower_outputs(paths, settings), encoder_outputs(paths, settings)
        rows = np.flatnonzero([one is not None for one in lower])
        head = WhisperStatistics.load(self.beside, settings).head
        return rows, together(
            self.opinions(trained, present(lower, rows)), log_probabilities(head, present(encoded, rows))
        )

    def joined(
        self, found: NDArray[np.float32], folds: Rows, results: Path
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return what the members and the frozen run say together, and {"beside", "parts"}.

        These are the frozen model's id, and the figures of the members alone and of it alone.
        """
        frozen = predictions.read_of(results / self.source, self.utterances, folds).log_probabilities
        if len(frozen) != 1 + len(self.config.conditions):
            raise InvalidSettings(f"The run {self.source} was tested under other conditions than these.")
        said = {"tuned": found[0], "frozen": frozen[0]}
        parts = {name: accuracies(self.true, decide(one, self.true)[0]) for name, one in said.items()}
        return together(found, frozen), {"beside": self.beside.name, "parts": parts}

    def finished(
        self, trained: list[TunedMember], temperature: float, card: dict[str, Any], settings: Settings
    ) -> WhisperTuned:
        """Return the members and the model beside them as one."""
        return WhisperTuned.join(self.config.id, trained, self.beside, settings, temperature, card)


def prepare_tuned(config: TrainingConfig, path: Path, data: Path, settings: Settings) -> TunedExperiment:
    """Return what the members are trained on; see `run.prepare`.

    Raises
    ------
    InvalidSettings
        The run that is to stand beside it is none on the frozen encoder, or of other corpora, labels or conditions.
    """
    assert isinstance(config, TunedTraining)
    source = path.parent / f"{config.beside}.toml"
    frozen = read_config(source)
    if not isinstance(frozen, TrainingConfig) or frozen.architecture != "whisper-statistics":
        raise InvalidSettings(f"{path}: beside names {source}, which is no run on the frozen encoder.")
    for name in ("corpora", "labels", "conditions", "protocol"):
        if getattr(frozen, name) != getattr(config, name):
            raise InvalidSettings(f"{path} and {source}, which stands beside it, differ in {name}.")
    utterances = read(config.corpora, data, config.labels)
    paths = [utterance.path for utterance in utterances]
    talkers = talkers_of(config, data)
    plain = lower_outputs(paths, settings)
    worse = [lower_outputs(paths, settings, condition=name, talkers=talkers) for name in config.conditions]
    hashed = [[None if one is None else (one,) for one in version] for version in (plain, *worse)]
    state = state_of(config, path.stem, utterances, hashed, settings)
    encoder = weights.shared_whisper(replace(settings, whisper="base")).encoder
    beside = settings.models_dir / frozen.id
    return TunedExperiment(config, utterances, [plain], worse, state, encoder, beside, source.stem)
