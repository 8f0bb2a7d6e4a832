"""Heads on Whisper-base's encoder, frozen and fine-tuned, trained on several kinds of recordings.

The measured corpora are split into folds. Auxiliary corpora, such as ordinary talk and vocal bursts, are trained on,
too: a fifth of their speakers never are, and the others are spread over the folds, so that each fold predicts some who
are not in its training.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import audio_files
from ser_engine.data.degrade import CROWD, MIX, Sources
from ser_engine.data.encodings import encode_clips, encode_windows
from ser_engine.data.splits import Fold, assign_auxiliary, held_out
from ser_engine.evaluation.baselines import measure_baselines
from ser_engine.evaluation.ordinary import is_ordinary
from ser_engine.evaluation.predictions import BASELINE, DEGRADED, UNTESTED, Outputs, Predictions
from ser_engine.evaluation.record import RunRecord
from ser_engine.features.encoder import Encoding
from ser_engine.io import atomic_write
from ser_engine.labels import NEUTRAL
from ser_engine.models.batching import map_alike
from ser_engine.models.device import choose_device
from ser_engine.models.whisper import shared_whisper
from ser_engine.models.whisper_heads import (
    AttentiveMember,
    Member,
    Shape,
    WhisperHeads,
    build_member,
    mean_log_probs,
    shift,
)
from ser_engine.training import heads
from ser_engine.training.baselines import LENGTHS_S, Baselines, Shift, TrainingBaselines
from ser_engine.training.clips import Clips, Rows, first_clips, load_clips
from ser_engine.training.head_tasks import HeadsConfig, train_head
from ser_engine.training.state import RunState
from ser_engine.training.system import Prepared, Task, Workspace, digest

WINDOW = "window"
"""The copy of ordinary talk that is tested: three seconds, as the windows of a timeline have."""
Copies = dict[str, list[Encoding | None]]
"""The encodings of all clips by the name of the degradation, "" for none; None where there is no speech."""


@dataclasses.dataclass(frozen=True)
class Heads:
    """Trained heads, and the average speaker's mean of every state; None for heads trained without baselines."""

    members: list[Member]
    population: Shift | None = None


class WhisperHeadsSystem(heads.HeadSystem[HeadsConfig, Copies, Heads]):
    """Heads of all kinds, averaged."""

    config_class = HeadsConfig

    def __init__(self, config: HeadsConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        self.encoder = shared_whisper(dataclasses.replace(self.settings, whisper="base", device="cpu")).encoder

    @property
    def inputs(self) -> str:
        """The states that the heads pool."""
        tuned = ", some of them by fine-tuned blocks" if self.config.tuned else ""
        return f"statistics and frames of the lower blocks of Whisper-base's encoder{tuned}"

    def clips(self) -> Clips:
        """Return the clips of the measured corpora, then those of the auxiliary ones."""
        measured = super().clips()
        if not self.config.auxiliary:
            return measured
        others = load_clips(self.config, self.settings.data, tuple(self.config.auxiliary))
        known = [row for row, label in enumerate(others.labels) if label in measured.order]
        utterances = [*measured.utterances, *(others.utterances[row] for row in known)]
        labels = np.concatenate([measured.labels, others.labels[known]])
        return dataclasses.replace(measured, utterances=utterances, labels=labels)

    def split(self, clips: Clips) -> list[Fold]:
        """Return the folds of the measured clips; each tests a part of the auxiliary speakers of ordinary talk, too."""
        count = int((~self._auxiliary(clips)).sum())
        measured, _ = first_clips(clips, (), count)
        auxiliary = clips.utterances[count:]
        folds = super().split(measured)
        parts, talk = assign_auxiliary(auxiliary, len(folds)), is_ordinary(auxiliary)
        tested = [talk & (parts == number) for number in range(len(folds))]
        return [
            dataclasses.replace(
                fold,
                train=np.concatenate([fold.train, count + np.flatnonzero((parts >= 0) & ~test)]),
                test=np.concatenate([fold.test, count + np.flatnonzero(test)]),
            )
            for fold, test in zip(folds, tested, strict=True)
        ]

    def final_task(self, clips: Clips, folds: Sequence[Fold], state: RunState) -> Task:
        """Return what a saved model is fitted on: all clips but those of the auxiliary speakers who are held out."""
        rows = np.unique(np.concatenate([part for fold in folds for part in (fold.train, fold.test)]))
        return dataclasses.replace(super().final_task(clips, folds, state), train=rows)

    def prepare(self, clips: Clips) -> Prepared[Copies]:
        """Encode all clips as they are and in the domain mix, and the measured ones in crowds and degraded."""
        measured = ~self._auxiliary(clips)
        copies = {"": self._encode(clips, "")}
        copies |= {name: self._encode(clips, name) for name in self._mixes}
        copies |= {name: self._encode(clips, name, measured) for name in self._crowds}
        for name in self.config.degradations:
            chosen = measured if name in self.config.augmentation else self._degraded(clips)
            copies[name] = self._encode(clips, name, chosen)
        copies[WINDOW] = self._encode(clips, "crop", is_ordinary(clips.utterances))
        arrays = (array for encodings in copies.values() for one in encodings if one is not None for array in one)
        return Prepared(clips, copies, digest(arrays=arrays))

    def prepare_external(self, clips: Clips) -> Prepared[Copies]:
        """Encode clips as they are, ordinary talk in windows; of auxiliary corpora, only speakers who are held out."""
        rows = np.flatnonzero(~self._auxiliary(clips) | held_out(clips.utterances))
        paths = [clips.paths[row] for row in rows]
        if is_ordinary(clips.utterances).all():
            windows = encode_windows(paths, self.settings)
            rows = np.repeat(rows, [len(own) for own in windows])
            encodings: list[Encoding | None] = [one for own in windows for one in own]
        else:
            encodings = encode_clips(paths, self.settings)
        chosen = [clips.utterances[row] for row in rows]
        return Prepared(dataclasses.replace(clips, utterances=chosen, labels=clips.labels[rows]), {"": encodings}, "")

    def fit(self, prepared: Prepared[Copies], task: Task) -> Heads:
        """Train the heads; those that an earlier attempt has finished are loaded."""
        config, clips = self.config, prepared.clips
        rows, copies = heads.training_copies(self._filled(clips, prepared.features), self._copies, task.train)
        utterances = [clips.utterances[row] for row in rows]
        talk, measured = is_ordinary(utterances), ~self._auxiliary(clips)[rows]
        population = _average_states(copies[0], measured) if config.baselines else None
        shapes = self._shapes(len(clips.order))
        targets, weights = self._targets(clips, rows), self._weights(clips, rows)

        def train(number: int, shape: Shape, weights: NDArray[np.float64], others: Sequence[Member] = ()) -> Member:
            baselines = None
            if population is not None:
                rng = np.random.default_rng([config.seed, number, 1])
                baselines = TrainingBaselines(utterances, copies, population, config.baselines, rng)
            frozen = next((one for one in others if isinstance(one, AttentiveMember) and not len(one.blocks)), None)
            return self._train(number, shape, task, copies, targets, weights, baselines, frozen)

        if talk.any() and config.taught:
            teacher = train(0, shapes[0], np.where(talk, 0.0, weights))
            encodings = [copies[0][number] for number in np.flatnonzero(talk)]
            taught = np.exp(_by_length(teacher, encodings))
            targets[talk] = (1 - config.taught) * targets[talk] + config.taught * taught
        members: list[Member] = []
        for number, shape in enumerate(shapes, start=1):
            members.append(train(number, shape, weights, members))
        return Heads(members, population)

    def _train(
        self,
        number: int,
        shape: Shape,
        task: Task,
        copies: list[list[Encoding]],
        targets: NDArray[np.float32],
        weights: NDArray[np.float64],
        baselines: TrainingBaselines | None,
        frozen: AttentiveMember | None,
    ) -> Member:
        """Return a head, trained unless an earlier attempt has finished it; the teacher is number 0."""
        saved = task.state.folder / f"fold-{task.name}-head-{number}.safetensors"
        torch.manual_seed(self.config.seed + number)
        member = build_member(self.encoder, shape)
        if saved.exists():
            member.load_state_dict(load_file(saved))
            return member.eval()
        history = task.state.history(task.number, task.name, members=number)
        device = choose_device(self.settings)
        member = train_head(member, copies, targets, weights, self.config, number, history, baselines, frozen, device)
        with atomic_write(saved) as part:
            save_file(member.state_dict(), part)
        return member

    def predict(self, fitted: Heads, prepared: Prepared[Copies], rows: Rows) -> Outputs:
        """Return log-probabilities of the clips as they are, degraded, and with baselines; of talk, of one window."""
        copies = {
            name: list(prepared.features[name]) for name in ("", *self.config.degradations) if name in prepared.features
        }
        if windows := prepared.features.get(WINDOW):
            for row in rows[is_ordinary([prepared.clips.utterances[row] for row in rows])]:
                copies[""][row] = windows[row]
        compute = partial(score_encodings, fitted.members)
        outputs = heads.predict_copies(compute, copies, rows, len(prepared.clips.order))
        tested = self._degraded(prepared.clips)[rows]
        for name in set(copies) - {""}:
            outputs[f"{DEGRADED}{name}"][~tested] = UNTESTED
        if fitted.population is not None and len(copies) > 1:
            outputs |= self._predict_with_baselines(fitted, prepared, copies[""], rows)
        return outputs

    def _predict_with_baselines(
        self, fitted: Heads, prepared: Prepared[Copies], tested: list[Encoding | None], rows: Rows
    ) -> Outputs:
        """Return log-probabilities with baselines of each of `LENGTHS_S`; NaN for the clips that a baseline is of."""
        assert fitted.population is not None
        known = rows[[prepared.features[""][row] is not None for row in rows]]
        encodings = [one for row in known if (one := prepared.features[""][row]) is not None]
        baselines = Baselines([prepared.clips.utterances[row] for row in known], encodings, fitted.population)
        compute = partial(score_encodings, fitted.members)
        outputs = {}
        for seconds in LENGTHS_S:
            rng = np.random.default_rng([self.config.seed, seconds])
            shifted: list[Encoding | None] = [None] * len(tested)
            for speaker in range(baselines.speakers.max() + 1):
                own = np.flatnonzero(baselines.speakers == speaker)
                drawn = baselines.draw(int(own[0]), seconds, rng)
                by = baselines.shift(drawn)
                for number in np.setdiff1d(own, drawn) if len(drawn) else ():
                    one = tested[known[number]]
                    shifted[known[number]] = None if one is None else shift(one, by)
            outputs[f"{BASELINE}{seconds}"] = heads.at_speech(compute, shifted, rows, len(prepared.clips.order))
        return outputs

    def measure(self, predictions: Predictions) -> dict[str, Any]:
        """Return the record's entries, and what baselines gain."""
        gains = measure_baselines(predictions)
        return super().measure(predictions) | ({"details": {"baselines": gains}} if gains else {})

    def embed(self, fitted: Heads, prepared: Prepared[Copies], rows: Rows) -> dict[str, NDArray[np.float32]]:
        """Return the mean of the frames over time, and the inputs of the heads' last layers."""

        def embed(encodings: list[Encoding]) -> Tensor:
            return torch.cat([member.embed(encodings) for member in fitted.members], dim=1)

        def average(encodings: Sequence[Encoding]) -> NDArray[np.float32]:
            return np.stack([one.frames.mean(axis=0, dtype=np.float32) for one in encodings])

        encodings, width = prepared.features[""], self.config.hidden * len(fitted.members)
        return {
            "encoder": heads.at_speech(average, encodings, rows, self.encoder.positional_embedding.shape[1]),
            "model": heads.at_speech(partial(_by_length, embed), encodings, rows, width),
        }

    def export(self, fitted: Heads, prepared: Prepared[Copies], temperature: float) -> WhisperHeads:
        """Return the heads and the encoder as a model."""
        labels = prepared.clips.order
        shapes = self._shapes(len(labels))
        return WhisperHeads(
            self.config.id, labels, fitted.members, shapes, self.encoder, fitted.population, temperature
        )

    def describe_data(self, clips: Clips, folds: Sequence[Fold]) -> dict[str, Any]:
        """Return the entries on the measured clips alone, and the numbers of auxiliary clips."""
        count = int((~self._auxiliary(clips)).sum())
        auxiliary = Counter(utterance.corpus for utterance in clips.utterances[count:])
        described = super().describe_data(*first_clips(clips, folds, count))
        return described | {"details": {"auxiliary": dict(auxiliary)}}

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the corpora, auxiliary ones included, and the measured figures."""
        return super().card(record) | {"corpora": sorted({*record.corpora, *self.config.auxiliary})}

    def training_files(self, prepared: Prepared[Copies]) -> list[Path]:
        """Return the recordings with speech that are trained on."""
        clips, encodings = prepared.clips, prepared.features[""]
        rows = self.final_task(clips, self.split(clips), RunState(self.settings.cache)).train
        return [clips.paths[row] for row in rows if encodings[row] is not None]

    @property
    def _mixes(self) -> tuple[str, ...]:
        return tuple(f"{MIX}{number}" for number in range(1, self.config.mixes + 1))

    @property
    def _crowds(self) -> tuple[str, ...]:
        return tuple(f"{CROWD}{number}" for number in range(1, self.config.crowds + 1))

    @property
    def _copies(self) -> tuple[str, ...]:
        """The copies of each clip that are trained on."""
        return (*self._mixes, *self._crowds, *self.config.augmentation)

    def _degraded(self, clips: Clips) -> NDArray[np.bool_]:
        """Return which clips are tested under degradations, bool [n]: a random part of the measured ones."""
        drawn = np.random.default_rng(self.config.seed).random(len(clips.utterances)) < self.config.degraded
        return drawn & ~self._auxiliary(clips)

    def _filled(self, clips: Clips, features: Copies) -> Copies:
        """Return the copies, where auxiliary clips have mixes in the place of crowds and degradations."""
        if not self._mixes:
            return features
        filled = dict(features)
        for number, name in enumerate((*self._crowds, *self.config.augmentation)):
            mix = features[self._mixes[number % len(self._mixes)]]
            own, auxiliary = features[name], self._auxiliary(clips)
            filled[name] = [mix[row] if auxiliary[row] else own[row] for row in range(len(own))]
        return filled

    def _auxiliary(self, clips: Clips) -> NDArray[np.bool_]:
        """Return which clips are of auxiliary corpora, bool [n]."""
        return np.array([utterance.corpus in self.config.auxiliary for utterance in clips.utterances], bool)

    def _encode(self, clips: Clips, degradation: str, chosen: NDArray[np.bool_] | None = None) -> list[Encoding | None]:
        """Return the encodings of degraded clips; None for those that are not chosen."""
        rows = np.arange(len(clips.utterances)) if chosen is None else np.flatnonzero(chosen)
        paths = [clips.paths[row] for row in rows]
        encoded = encode_clips(paths, self.settings, degradation=degradation, sources=self._sources(degradation))
        result: list[Encoding | None] = [None] * len(clips.utterances)
        for row, one in zip(rows, encoded, strict=True):
            result[row] = one if one is None or self.config.tuned else _without_lower(one)
        return result

    def _sources(self, degradation: str) -> Sources:
        """Return what the domain mix, or babble for tests, is mixed of."""
        config, data = self.config, self.settings.data
        if not degradation.startswith((MIX, CROWD)):
            corpora = config.external[:1] if degradation == "babble" else ()
            return Sources(tuple(clip.path for name in corpora for clip in registry.read_corpus(name, data)))
        noises, rooms = (tuple(audio_files(data / name)) if name else () for name in (config.noises, config.rooms))
        talk = [utterance for name in config.voices for utterance in registry.read_corpus(name, data)]
        voices = [talk[row].path for row in np.flatnonzero(~held_out(talk))]
        return Sources(tuple(voices), noises, rooms)

    def _shapes(self, labels: int) -> list[Shape]:
        config = self.config
        widths = {name: getattr(config, name) for name in ("projection", "attention_heads", "hidden", "dropout")}
        statistics, frozen = Shape(labels, mixes=config.mixtures, **widths), Shape(labels, **widths)
        tuned = Shape(labels, config.blocks, **widths)
        return [statistics] * config.statistics + [frozen] * config.frozen + [tuned] * config.tuned

    def _targets(self, clips: Clips, rows: Rows) -> NDArray[np.float32]:
        """Return float32 [rows, classes]: smoothed labels, mixed with listeners'; for ordinary talk, a flat target."""
        config, utterances = self.config, [clips.utterances[row] for row in rows]
        targets = heads.smoothed_targets(clips, rows, config)
        for number, utterance in enumerate(utterances if config.perceived else ()):
            if perceived := [clips.order.index(label) for label in utterance.perceived_labels if label in clips.order]:
                targets[number] *= 1 - config.perceived
                targets[number, perceived] += config.perceived / len(perceived)
        if (talk := is_ordinary(utterances)).any():
            flat = np.full(len(clips.order), (1 - config.ordinary) / (len(clips.order) - 1), np.float32)
            flat[clips.order.index(NEUTRAL)] = config.ordinary
            targets[talk] = flat
        return targets

    def _weights(self, clips: Clips, rows: Rows) -> NDArray[np.float64]:
        """Return how many draws of an epoch each row is expected to have, [rows]."""
        auxiliary = self._auxiliary(clips)[rows]
        corpora = np.array([clips.utterances[row].corpus for row in rows])
        draws = np.zeros(len(rows))
        count = int((~auxiliary).sum())
        groups = [(~auxiliary, 1.0), *((corpora == name, share) for name, share in self.config.auxiliary.items())]
        for members, share in groups:
            if members.any():
                weights = heads.sampling_weights(clips, rows[members], self.config)
                draws[members] = share * count * weights / weights.sum()
        return draws


def _without_lower(encoding: Encoding) -> Encoding:
    """Return a copy without the lower states, half of the memory, which tuned heads alone need."""
    return Encoding(encoding.statistics.copy(), encoding.frames.copy(), encoding.lower[:0].copy())


def _average_states(encodings: Sequence[Encoding], chosen: NDArray[np.bool_]) -> Shift:
    """Return the mean over the chosen clips of the mean of every state, float32 [states, width]."""
    means = [one.statistics[:, 0] for one, is_chosen in zip(encodings, chosen, strict=True) if is_chosen]
    return np.asarray(np.mean(means, axis=0, dtype=np.float32))


def score_encodings(members: Sequence[Member], encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return the mean of the heads' log-probabilities, float32 [n, labels], of n encodings."""
    return _by_length(partial(mean_log_probs, members), encodings)


def _by_length(compute: Callable[[list[Encoding]], Tensor], encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return what is computed of n encodings, in batches of one length, in their order."""
    with torch.inference_mode():
        rows = map_alike(lambda batch: compute(batch).numpy(), encodings, lambda one: len(one.frames), heads.SCORED)
    return np.stack(rows)


SYSTEM = WhisperHeadsSystem
