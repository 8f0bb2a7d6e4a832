"""One experiment with a convolutional network, from its TOML to results/<run>/; stopped, it goes on at its epoch."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from ser_engine.data import splits
from ser_engine.data.acoustic import PIPELINE, acoustic_features
from ser_engine.data.augment import RECIPES
from ser_engine.data.preprocess import PREPROCESSINGS, heard, samples_of
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.features import ACOUSTIC
from ser_engine.features.spectrogram import IMAGES
from ser_engine.models.store import TENSORS
from ser_engine.papers.audioset import load_extractor
from ser_engine.papers.embedding_search import search
from ser_engine.papers.image_backbones import ImageNetwork, load_imagenet
from ser_engine.papers.network import INPUTS, KINDS, Blocks, Network, Standardisation, build, standardised
from ser_engine.settings import Settings
from ser_engine.training import experiment
from ser_engine.training.config import NetworkConfig
from ser_engine.training.experiment import Clips, Rows, fed_with, held_out, read_clips, training_rows
from ser_engine.training.fit_network import Task, fit

VERSION = "2"
"""To be raised whenever a network, an image or the training changes in its code, so that nothing stale is read."""
IMAGE_AUGMENTATIONS = ("tiwari",)
SEARCHED = "embedding-mlp"
"""The kind whose shape and training are searched for."""


@dataclass(frozen=True)
class Experiment:
    """What is trained on: n clips, and of each its copies (the recording first), each an array of blocks."""

    config: NetworkConfig
    clips: Clips
    copies: list[list[Blocks]]
    settings: Settings

    @property
    def fingerprint(self) -> str:
        """What tells this experiment from every other, whatever changed."""
        digest = hashlib.sha256(f"{PIPELINE} {VERSION} {self.config} {self.clips.digest()}".encode())
        for copies in self.copies:
            for blocks in copies:
                digest.update(blocks.tobytes())
        return digest.hexdigest()[:12]

    def module(self) -> nn.Module:
        """Return the network before training; the same for every fold."""
        return make(self.config, len(self.clips.order(self.config)), self.settings)

    def targets(self) -> Rows:
        """Return each clip's class, int [n]; men's come after women's where genders are told apart."""
        labels = self.clips.order(self.config)
        found = np.array([labels.index(label) for label in self.clips.labels])
        if self.config.genders:
            men = np.array([utterance.gender == "male" for utterance in self.clips.utterances])
            found = found + len(labels) * men
        return found

    def task(self, train: Rows, number: int) -> tuple[Task, Standardisation | None]:
        """Return what is learnt from some clips: their blocks in every copy, balanced as the configuration says."""
        rows, copies = training_rows(self.config, self.clips.labels, train, len(self.copies[0]), number)
        chosen = [_evenly(self.copies[row][copy], self.config.blocks) for row, copy in zip(rows, copies, strict=True)]
        targets = np.repeat(self.targets()[rows], [len(blocks) for blocks in chosen])
        blocks: Blocks = np.concatenate(chosen)  # type: ignore[assignment]
        if blocks.dtype == np.uint8:
            return Task(blocks, targets), None
        standardisation = blocks.mean(axis=0, dtype=np.float32), blocks.std(axis=0, dtype=np.float32)
        return Task(standardised(blocks, standardisation), targets), standardisation

    def train(self, train: Rows, validation: Rows, number: int, name: str, state: Path) -> Network:
        """Return the network trained on some clips; with patience, others say when to stop."""
        config, watched, options = self.config, None, self.config.options
        searches = config.kind == SEARCHED
        if (config.patience or searches) and not len(validation):
            train, validation = held_out(config, self.clips, train, number)
        task, standardisation = self.task(train, number)
        if config.patience or searches:
            chosen = [_evenly(self.copies[row][0], config.blocks) for row in validation]
            targets = np.repeat(self.targets()[validation], [len(blocks) for blocks in chosen])
            watched = Task(standardised(np.concatenate(chosen), standardisation), targets)
        if searches and watched is not None:
            module, options = self._search(task, watched, number)
        else:
            module = fit(self.module(), task, watched, config, number, name, state)
        labels, genders = self.clips.order(config), config.genders
        return Network(
            config.id, labels, config.kind, config.features, module, options, standardisation, genders,
            settings=self.settings,
        )  # fmt: skip

    def _search(self, task: Task, watched: Task, number: int) -> tuple[nn.Module, dict[str, Any]]:
        """Return the best of some perceptrons on embeddings, and what it is built with: paper-3, 3.3.2."""
        outputs = len(self.clips.order(self.config)) * (2 if self.config.genders else 1)
        examples = [(one.blocks.astype(np.float32), one.targets) for one in (task, watched)]
        seed = self.config.seed + number
        module, trials = search(examples[0], examples[1], outputs, self.config.tries, seed, epochs=self.config.epochs)
        best = trials[0].recipe
        options = {"width": task.blocks.shape[1], "hidden": list(best.hidden), "dropout": best.dropout}
        return module, options

    def test(self, fold: splits.Fold, number: int, state: Path) -> NDArray[np.float32]:
        """Return probabilities [m, labels] for the fold's test clips, by a network trained on its training clips."""
        network = self.train(fold.train, fold.validation, number, fold.name, state)
        if number == 0:
            network.save(state / "model")
            (state / "size").write_text(str((state / "model" / TENSORS).stat().st_size))
        tested = [self.copies[row][0] for row in fold.test]
        return np.stack([network.score(blocks).mean(axis=0) for blocks in tqdm(tested, desc="testing", leave=False)])


def run_network(path: Path, config: NetworkConfig, data: Path, settings: Settings, results: Path) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, folds.json, history.jsonl}. Returns run.json.

    Raises
    ------
    CorpusError
        A corpus is not in `data`, or is none that the protocol can split.
    InvalidSettings
        The configuration makes no sense.
    WeightsUnavailable
        Weights that the network starts from, or listens through, are not there.
    """
    check(config, path)
    make(config, 2, settings)  # what is not here is told before anything is heard
    prepared = prepare(config, data, settings)
    clips, name = prepared.clips, path.stem
    found = experiment.cross_validate(name, config, clips, prepared.fingerprint, prepared.test, settings)
    features = fed_with(config.features, config.augmentation)
    entry = experiment.write_run(name, config, features, clips, *found, results)
    if config.save:
        everything = np.arange(len(clips.labels))
        network = prepared.train(everything, everything[:0], len(found[0]), "all", found[2])
        network.card = {"corpora": entry["corpora"], "run": entry["id"]}
        network.save(settings.models_dir / config.id)
    return entry


def check(config: NetworkConfig, path: Path) -> None:
    """Refuse in one sentence what names something that is not there, or does not go together."""
    acoustic = config.features in ACOUSTIC
    experiment.check(
        config,
        path,
        kind=(config.kind, tuple(KINDS)),
        features=(config.features, tuple(INPUTS)),
        preprocessing=(config.preprocessing, PREPROCESSINGS),
        augmentation=(config.augmentation, ("", *(RECIPES if acoustic else IMAGE_AUGMENTATIONS))),
        trainable=(config.trainable, ("all", "head")),
    )
    if splits.PROTOCOLS[config.protocol].leaky:
        raise InvalidSettings(f"{path}: {config.protocol} is for classical systems.")
    build(config.kind, 2, config.options)


def make(config: NetworkConfig, labels: int, settings: Settings) -> nn.Module:
    """Return the network before training, with the weights that it starts from.

    Raises
    ------
    WeightsUnavailable
        Those weights, or those of the network that it listens through, are not there.
    """
    if config.kind == SEARCHED:
        load_extractor(config.features, settings)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        module = build(config.kind, labels * (2 if config.genders else 1), config.options)
    if isinstance(module, ImageNetwork):
        if config.imagenet:
            load_imagenet(module, config.imagenet, settings)
        module.freeze(config.trainable)
    return module


def prepare(config: NetworkConfig, data: Path, settings: Settings) -> Experiment:
    """Read the corpora and compute the blocks of every clip that has one of the labels."""
    clips = read_clips(config, data)
    paths = [utterance.path for utterance in clips.utterances]
    if config.features in ACOUSTIC:
        table = acoustic_features(
            paths, settings, config.features, config.preprocessing, augmentation=config.augmentation, seed=config.seed
        )
        copies: list[list[Blocks]] = [[row[None] for row in rows] if rows is not None else [] for rows in table]
    else:
        copies = [[blocks] if len(blocks) else [] for blocks in _blocks(paths, config, settings)]
    kept = [i for i, found in enumerate(copies) if found]
    if not kept:
        raise CorpusError(f"No clip of {', '.join(config.corpora)} could be used.")
    return Experiment(config, clips.only(kept), [copies[i] for i in kept], settings)


def _blocks(paths: list[Path], config: NetworkConfig, settings: Settings) -> list[Blocks]:
    """Return the blocks of each recording, none of those that the preprocessing dropped."""
    files = heard(paths, settings, config.preprocessing)
    compute = partial(_extract, features=config.features, settings=settings)
    if config.features not in IMAGES:  # another network listens, on all threads
        return [compute(file) for file in tqdm(files, desc=config.features, unit="clip")]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(files)) or 1) as pool:
        made = pool.map(compute, files, chunksize=16)
        return list(tqdm(made, total=len(files), desc=config.features, unit="clip"))


def _extract(file: Path, features: str, settings: Settings) -> Blocks:
    samples = samples_of(file)
    if not len(samples):
        return np.zeros((0, *INPUTS[features].shape), np.float32)
    return INPUTS[features].extract(samples, settings)


def _evenly(blocks: Blocks, most: int) -> Blocks:
    """Return at most so many of the blocks, evenly over them; 0 for all."""
    if not most or len(blocks) <= most:
        return blocks
    return blocks[np.linspace(0, len(blocks) - 1, most).round().astype(int)]
