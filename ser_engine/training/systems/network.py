"""Networks on images, on acoustic features and on embeddings: the kinds of `papers.network.KINDS`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn
from tqdm import tqdm

from ser_engine.data.acoustic import acoustic_features
from ser_engine.data.augment import RECIPES
from ser_engine.data.balance import balance_to_harmonic_mean
from ser_engine.data.pool import map_clips
from ser_engine.data.preprocess import PREPROCESSINGS, load_samples, preprocess_and_augment_clips
from ser_engine.data.splits import Fold
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.predictions import MAIN, Outputs
from ser_engine.features import ACOUSTIC
from ser_engine.features.spectrogram import IMAGES
from ser_engine.models.device import choose_device
from ser_engine.models.store import TENSORS, sha256
from ser_engine.papers.audioset import EXTRACTORS, load_extractor
from ser_engine.papers.augment_images import IMAGE_AUGMENTATIONS
from ser_engine.papers.embedding_search import search
from ser_engine.papers.fit import Examples, FitConfig, fit
from ser_engine.papers.image_backbones import ImageNetwork, load_imagenet
from ser_engine.papers.network import KINDS, SHAPES, Blocks, Network, build, extract_blocks, standardize
from ser_engine.settings import Settings
from ser_engine.training.clips import Clips, Rows, hold_out, training_rows, validation_rows
from ser_engine.training.config import STRICT, Count, Natural, one_of
from ser_engine.training.system import Prepared, System, Task, Workspace, digest
from ser_engine.training.systems.classical import describe_inputs, log
from ser_engine.training.work import BYTES, Work, clip_seconds, count, network_memory, preparation_seconds
from ser_engine.types import SAMPLE_RATE

SEARCHED = "embedding-mlp"
"""The kind whose shape and training are searched for."""

LONGEST = 100
"""Epochs after which early stopping has ended any of these trainings, for a dry run."""
PATCH_S = 0.96
"""Seconds of sound of an embedding."""

Copies = list[list[Blocks]]
"""Blocks of each clip: of the recording itself first, then of its augmented copies."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkConfig(FitConfig):
    """An experiment with a network that needs no pre-training on speech.

    Attributes
    ----------
    kind, options : key of `papers.network.KINDS`, and what its module is built with
    features : key of `papers.network.SHAPES`
    preprocessing : one of `preprocess.PREPROCESSINGS`
    imagenet : initial weights of an image network, a hub id with its revision or a folder; random ones if empty
    trainable : "all", or "head" if the body keeps its initial weights
    genders : whether women's and men's emotions are separate classes in training and added up after (Sharma, III.C.1)
    blocks : largest number of blocks of each clip, evenly over the clip; 0 for all
    tries : combinations of Islam's table 4 that are tried for "embedding-mlp", which has its own training
    """

    kind: Annotated[str, one_of(*KINDS)]
    features: Annotated[str, one_of(*SHAPES)]
    options: dict[str, Any] = Field(default_factory=dict)
    preprocessing: Annotated[str, one_of(*PREPROCESSINGS)] = "none"
    imagenet: str = ""
    trainable: Literal["all", "head"] = "all"
    genders: bool = False
    blocks: Natural = 0
    tries: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        possible = {**RECIPES, **(IMAGE_AUGMENTATIONS if self.features in IMAGES else {})}
        if self.augmentation and self.augmentation not in possible:
            names = ", ".join(possible)
            raise InvalidSettings(f"augmentation is “{self.augmentation}”; for {self.features} there are {names}.")

    @property
    def early_stopping(self) -> bool:
        """Whether training needs a validation part."""
        return bool(self.patience) or self.kind == SEARCHED


class NetworkSystem(System[NetworkConfig, Copies, Network]):
    """A network on images, acoustic features or embeddings."""

    config_class = NetworkConfig

    def __init__(self, config: NetworkConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        self.initial_module(2)
        if config.kind == SEARCHED:
            load_extractor(config.features, self.settings)
            self.weights[config.features] = {"sha256": sha256(self.settings.models_dir / config.features / TENSORS)}

    @property
    def inputs(self) -> str:
        """The features, and the augmentation if there is one."""
        return describe_inputs(self.config.features, self.config.augmentation)

    @classmethod
    def work(cls, config: NetworkConfig, clips: Clips, folds: Sequence[Fold], settings: Settings) -> Work:
        """Count the network's operations on a batch, and time the preparation of one clip."""
        recipe = config.augmentation if config.augmentation in RECIPES else ""
        copies = 1 + len(RECIPES[recipe] if recipe else ())
        seconds, embedded = clip_seconds(clips.paths), config.features in EXTRACTORS
        noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
        extract = partial(extract_blocks, config.features, settings=settings)
        blocks = max(1, round(seconds / PATCH_S)) if embedded else len(_spread(extract(noise), config.blocks))
        preparing = preparation_seconds(
            len(clips.utterances), seconds, settings, config.preprocessing, recipe,
            (lambda samples: None) if embedded else extract,
        )  # fmt: skip
        examples = [
            blocks * len(training_rows(config, clips.labels, fold.train, copies, number)[0])
            for number, fold in enumerate(folds)
        ]
        shape = SHAPES[config.features]
        batch = 256 if config.kind == SEARCHED else config.batch
        options = config.options or ({"width": shape[0]} if config.kind == SEARCHED else {})

        def make() -> nn.Module:
            module = build(config.kind, len(clips.order) * (2 if config.genders else 1), options)
            if isinstance(module, ImageNetwork) and config.trainable == "head":
                module.freeze_body()
            return module

        counted = count(make, lambda network: network(torch.zeros(batch, *shape)))
        trials = config.tries if config.kind == SEARCHED else 1
        steps = sum(-(-number // batch) for number in examples) * min(config.epochs, LONGEST) * trials
        tested = sum(len(fold.test) + len(fold.validation) for fold in folds) * blocks / batch
        operations = counted.step * steps + counted.forward * tested
        if embedded:
            patch = torch.zeros(1, 96, 64, device="meta")
            extractor = count(EXTRACTORS[config.features], lambda network: network(patch), trains=False)
            operations += extractor.forward * blocks * copies * len(clips.utterances)
        stored = 1 if config.features in IMAGES else BYTES  # bytes of a pixel, and of a number
        data = 2 * stored * blocks * copies * len(clips.utterances) * float(np.prod(shape))
        return Work(
            round(float(np.mean(examples))), steps, counted.parameters, counted.trained, operations, "convolution",
            preparing, network_memory(counted) + data,
        )  # fmt: skip

    def prepare(self, clips: Clips) -> Prepared[Copies]:
        """Compute the blocks of every clip and of its augmented copies; images are augmented later, in training."""
        config = self.config
        if config.features in ACOUSTIC:
            table = acoustic_features(
                clips.paths, self.settings, config.features, config.preprocessing, config.augmentation, seed=config.seed
            )
            copies: Copies = [[row[None] for row in rows or ()] for rows in table]
        else:
            copies = compute_copies(clips.paths, config, self.settings)
        rows = [row for row, blocks in enumerate(copies) if blocks]
        clips, copies = clips.select(rows), [copies[row] for row in rows]
        return Prepared(clips, copies, digest(arrays=(blocks for clip in copies for blocks in clip)))

    def fit(self, prepared: Prepared[Copies], task: Task) -> Network:
        """Train a network; a recording is preferred to its augmented copies."""
        config, clips = self.config, prepared.clips
        train, held_out = task.train, task.validation
        if config.early_stopping and not len(held_out):
            train, held_out = hold_out(config, clips, train, task.number)
        training = self._training_examples(prepared, train, task.number)
        standardization = None
        if training.blocks.dtype != np.uint8:
            blocks = training.blocks
            standardization = blocks.mean(axis=0, dtype=np.float32), blocks.std(axis=0, dtype=np.float32)
            training = Examples(standardize(blocks, standardization), training.targets)
        validation = None
        if config.early_stopping:
            copies = len(prepared.features[0])
            plain = self._examples(prepared, *validation_rows(config, clips.labels, held_out, copies, task.number))
            validation = Examples(standardize(plain.blocks, standardization), plain.targets)
        options = config.options
        if config.kind == SEARCHED and validation is not None:
            seed, outputs = config.seed + task.number, self._outputs(len(clips.order))
            best, trial = search(training, validation, outputs, config.tries, seed, config.epochs)
            hidden, dropout = list(trial.recipe.hidden), trial.recipe.dropout
            module: nn.Module = best
            options = {"width": training.blocks.shape[1], "hidden": hidden, "dropout": dropout}
        else:
            device = choose_device(self.settings)
            module = fit(self.initial_module(len(clips.order)), training, validation, config, task, device)
        return Network(
            config.id, clips.order, config.kind, config.features, module, options, standardization, config.genders,
            settings=self.settings,
        )  # fmt: skip

    def predict(self, fitted: Network, prepared: Prepared[Copies], rows: Rows) -> Outputs:
        """Return the logarithm of the mean probabilities over the blocks of each recording."""
        tested = [prepared.features[row][0] for row in rows]
        scores = [fitted.score(blocks).mean(axis=0) for blocks in tqdm(tested, desc="testing", leave=False)]
        return {MAIN: log(np.stack(scores))}

    def export(self, fitted: Network, prepared: Prepared[Copies], temperature: float) -> Network:
        """Return the network as a model."""
        return fitted

    def initial_module(self, classes: int) -> nn.Module:
        """Return the module before training, the same for every fold."""
        config = self.config
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            module = build(config.kind, self._outputs(classes), config.options)
        if isinstance(module, ImageNetwork):
            if config.imagenet:
                self.weights[config.imagenet] = load_imagenet(module, config.imagenet, self.settings)
            if config.trainable == "head":
                module.freeze_body()
        return module

    def _outputs(self, classes: int) -> int:
        return classes * 2 if self.config.genders else classes

    def _training_examples(self, prepared: Prepared[Copies], train: Rows, fold: int) -> Examples:
        """Return the balanced blocks of training clips.

        With "harmonic-mean", blocks are balanced and not clips: Islam (3.3.2) does it because "longer samples produce
        more embeddings".
        """
        config, copies = self.config, len(prepared.features[0])
        if config.balance != "harmonic-mean":
            return self._examples(prepared, *training_rows(config, prepared.clips.labels, train, copies, fold))
        whole = self._examples(prepared, np.tile(train, copies), np.repeat(np.arange(copies), len(train)))
        rows = balance_to_harmonic_mean(whole.targets.astype(str), np.random.default_rng([config.seed, fold]))
        return Examples(whole.blocks[rows], whole.targets[rows])

    def _examples(self, prepared: Prepared[Copies], rows: Rows, copies: Rows) -> Examples:
        """Return the blocks of some clips, each in one of its copies; men's classes come after women's."""
        clips = prepared.clips
        targets = clips.targets
        if self.config.genders:
            targets = targets + len(clips.order) * np.array([clip.gender == "male" for clip in clips.utterances])
        chosen = [prepared.features[row][copy] for row, copy in zip(rows, copies, strict=True)]
        blocks: Blocks = np.concatenate(chosen)
        return Examples(blocks, np.repeat(targets[rows], [len(blocks) for blocks in chosen]))


def compute_copies(paths: list[Path], config: NetworkConfig, settings: Settings) -> Copies:
    """Return the blocks of each recording and of its augmented copies, none for one that the preprocessing drops."""
    recipe = config.augmentation if config.augmentation in RECIPES else ""
    files = preprocess_and_augment_clips(paths, settings, config.preprocessing, recipe, config.seed)
    extract = partial(_extract, features=config.features, count=config.blocks, settings=settings)
    flat = [file for copies in files for file in copies]
    if config.features in IMAGES:
        blocks = list(map_clips(extract, flat, description=config.features))
    else:  # embeddings are computed by a network on all cores
        blocks = [extract(file) for file in tqdm(flat, desc=config.features, unit="clip")]
    width = len(files[0]) if files else 1
    clips = [blocks[first : first + width] for first in range(0, len(blocks), width)]
    return [copies if len(copies[0]) else [] for copies in clips]


def _extract(file: Path, features: str, count: int, settings: Settings) -> Blocks:
    samples = load_samples(file)
    if not len(samples):
        return np.zeros((0, *SHAPES[features]), np.float32)
    return _spread(extract_blocks(features, samples, settings), count)


def _spread(blocks: Blocks, count: int) -> Blocks:
    """Return at most `count` of the blocks, evenly over all of them; 0 for all."""
    if not count or len(blocks) <= count:
        return blocks
    rows: NDArray[np.int_] = np.linspace(0, len(blocks) - 1, count).round().astype(int)
    return blocks[rows]


SYSTEM = NetworkSystem
