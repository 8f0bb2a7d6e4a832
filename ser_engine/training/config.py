"""A training run as a TOML file: what is trained on what, and how it is tested."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from ser_engine.data.degrade import TITLES
from ser_engine.errors import InvalidSettings
from ser_engine.labels import EMOTIONS

STRANGERS = "speaker-independent"
TUNABLE_BLOCKS = 4
"""Blocks of Whisper-base above `features.encoder.LOWER_BLOCKS`."""

# What an entry of each annotation has to be.
KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "tuple[str, ...]": tuple,
    "dict[str, Any]": dict,
}

MAY_BE_EMPTY = ("external", "optional_corpora", "conditions", "augmentation")

# The least and the most that makes sense; what is written wrong is told before hours are spent.
COUNT, SHARE, FREE = (1, 10**6), (0.0, 1.0), (0.0, 100.0)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("members", "mixtures", "hidden", "epochs", "batch", "accumulation"), COUNT),
    **dict.fromkeys(("attention_heads", "attentive_epochs", "attentive_batch"), COUNT),
    "attentive": (0, 1000),
    "projection": (8, 10**6),
    "attentive_learning_rate": (1e-8, 1.0),
    **dict.fromkeys(("views", "seed"), (0, 2**32 - 1)),
    **dict.fromkeys(("weight_decay", "mixup", "balance", "label_balance"), FREE),
    **dict.fromkeys(("label_smoothing", "masked", "averaging"), SHARE),
    "dropout": (0.0, 0.99),
    "learning_rate": (1e-8, 1.0),
    "folds": (2, 100),
    **dict.fromkeys(("balance_to", "clips", "blocks", "patience", "warmup", "tries", "sentences"), (0, 10**6)),
    "head_learning_rate": (1e-8, 1.0),
    "layer_decay": (0.1, 1.0),
    "max_tokens": (8, 512),
    "false_votes": (0.0, 0.5),
}


@dataclass(frozen=True)
class TrainingConfig:
    """One experiment; every entry of the TOML is a field here, and nothing else is accepted.

    Attributes
    ----------
    id : name of the model; the run is named after the file
    architecture : a key of `models.registry.ARCHITECTURES`
    corpora, external : what is trained on (and tested fold by fold), and what is only ever tested on
    conditions : keys of `conditions.TITLES` under which every fold is tested once more
    augmentation : those of the conditions under which the clips of the other folds are heard in training, too
    protocol : how the folds are made
    labels : emotions in the order of the scores
    members, mixtures, hidden, dropout, attentive, projection, attention_heads : see `HeadConfig`
    epochs, batch, learning_rate, weight_decay : AdamW with a one-cycle schedule
    attentive_epochs, attentive_batch, attentive_learning_rate : the same of the members that attend to frames
    mixup : Beta(a, a) of mixup (Zhang et al., 2018), 0 for none
    label_smoothing : share of each target that is spread over all labels of the utterance's corpus
    balance : exponent of the inverse frequency of a label within its corpus in the sampling weights, 0 for none
    label_balance : the same of a label over all corpora together
    save : whether a model is made of all clips together, and kept with its card
    views : how many speed-perturbed copies of each utterance are heard in training, too; none is ever tested on
    seed : of everything random
    """

    id: str
    architecture: str
    corpora: tuple[str, ...]
    external: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    protocol: str = "speaker-independent"
    labels: tuple[str, ...] = EMOTIONS
    members: int = 5
    mixtures: int = 1
    hidden: int = 256
    dropout: float = 0.3
    attentive: int = 0
    projection: int = 256
    attention_heads: int = 4
    epochs: int = 40
    batch: int = 64
    learning_rate: float = 1e-3
    attentive_epochs: int = 8
    attentive_batch: int = 64
    attentive_learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    mixup: float = 0.0
    label_smoothing: float = 0.0
    balance: float = 0.0
    label_balance: float = 0.0
    views: int = 0
    save: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.labels) - set(EMOTIONS)):
            raise InvalidSettings(f"There are labels that mean nothing: {', '.join(unknown)}.")
        if unknown := sorted(set(self.conditions) - set(TITLES)):
            raise InvalidSettings(f"There are conditions that mean nothing: {', '.join(unknown)}.")
        if unknown := sorted(set(self.augmentation) - set(self.conditions)):
            raise InvalidSettings(f"What is trained on has to be tested under, too: {', '.join(unknown)}.")
        if self.save and self.protocol != STRANGERS:
            raise InvalidSettings(
                f"A model's card tells of strangers: with another protocol than {STRANGERS}, save = false."
            )
        if self.projection % 8:  # by the groups of `whisper_statistics.GROUPS`
            raise InvalidSettings(f"The projection is {self.projection}, which is no multiple of 8.")
        if "babble" in self.conditions and not self.external:
            raise InvalidSettings("Babble is made of an external corpus, and none is named.")


@dataclass(frozen=True)
class TunedTraining(TrainingConfig):
    """One training of some of Whisper's blocks, to stand beside a finished run on the frozen encoder.

    Of the entries of `TrainingConfig`, mixtures, attentive and views mean nothing here; members is how many are tuned.

    Attributes
    ----------
    beside : the TOML beside this one, without its suffix, of the run that stands beside it
    blocks : how many blocks are tuned, from the one after `features.encoder.LOWER_BLOCKS` on
    attentive_epochs, attentive_batch, attentive_learning_rate : of the head alone, before the blocks learn, too
    epochs, batch, learning_rate : of the blocks; AdamW with a one-cycle schedule
    head_learning_rate : of the head in these epochs
    masked : at most this share of a clip's frames is hidden from the blocks in training, twice (as in SpecAugment, Park
        et al., 2019)
    averaging : how much of the moving average of the weights is kept at each step; 0 for the last weights
    bfloat16 : whether the blocks compute in bfloat16 in training; for processors that have it
    """

    beside: str = ""
    blocks: int = 2
    head_learning_rate: float = 3e-4
    masked: float = 0.0
    averaging: float = 0.998
    bfloat16: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beside:
            raise InvalidSettings("beside names no run, and nothing is tuned to stand alone.")
        if not 1 <= self.blocks <= TUNABLE_BLOCKS:
            raise InvalidSettings(f"There are 1 to {TUNABLE_BLOCKS} blocks to be tuned, and not {self.blocks}.")
        if self.views or self.attentive or self.mixtures != 1:
            raise InvalidSettings(f"views, attentive and mixtures mean nothing to {self.architecture}.")


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """What every experiment of the papers says of itself; the kinds of systems add what they need.

    Attributes
    ----------
    id : name of the model; the run is named after the file
    architecture : which kind of system; a key of `CONFIGS`
    corpora : what is trained and tested on, corpora with a reader or manifests
    optional_corpora : corpora of the paper that are used where they lie in the data folder, and named as missing where
        they do not
    label_set : a key of `corpora.labels.LABEL_SETS`
    protocol, folds : a key of `splits.PROTOCOLS`, and into how many folds where the protocol leaves it open
    balance, balance_to : "count" for `balance_to` clips of each class in training, "harmonic-mean" (paper-3), or none
    clips : at most so many of each corpus, evenly over its labels; 0 for all
    published : the figure of results/published.toml that this repeats
    note : what has to be known to read the result
    hardware : what it takes to run it, for people who read what was not run here
    save : whether a model is trained on everything, too, and kept in the models folder
    seed : of everything random
    """

    id: str
    architecture: str
    corpora: tuple[str, ...]
    optional_corpora: tuple[str, ...] = ()
    label_set: str = "eight"
    protocol: str = "speaker-independent"
    folds: int = 5
    balance: str = ""
    balance_to: int = 0
    clips: int = 0
    published: str = ""
    note: str = ""
    hardware: str = ""
    save: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ClassicalConfig(ExperimentConfig):
    """One experiment with a classical system; every entry of the TOML is a field here, and nothing else is accepted.

    Attributes
    ----------
    estimator, parameters : a key of `models.classical.ESTIMATORS`, and what it is made with
    features : a name in `features.ACOUSTIC`
    preprocessing : "paper-1" (noise reduction, silence removal, nothing under 1 s) or "none"
    augmentation : a key of `augment.RECIPES`: beside each training clip one copy per augmentation; none is ever tested
        on, but for the protocol that shows what comes of it
    """

    estimator: str
    features: str
    preprocessing: str = "none"
    augmentation: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ExperimentConfig):
    """One experiment with a network that needs no pre-training; every entry of the TOML is a field here.

    Attributes
    ----------
    kind, options : a key of `models.network.KINDS`, and what its module is built with
    features : a key of `models.network.INPUTS`
    imagenet : hub id, or folder, of the weights that an image network starts from; nothing for random ones
    trainable : "all", or "head" where the body keeps the weights that it started from
    genders : whether women's and men's emotions are told apart in training and added up after (paper-1, III.C.1)
    blocks : at most so many blocks of each clip are trained on, evenly over it; 0 for all
    preprocessing : one of `hear.PREPROCESSINGS`
    augmentation : a key of `augment.RECIPES`, for networks on acoustic features; "paper-5" alters images
    epochs, batch, learning_rate, weight_decay : Adam; AdamW where there is weight decay
    patience : training ends when the loss on a tenth of the training clips, held out, has not fallen in so many
        epochs, and the best weights are kept; 0 for all epochs
    tries : how many combinations of paper-3's table 4 are tried for "embedding-mlp", which has its own training
    """

    kind: str
    features: str
    options: dict[str, Any] = field(default_factory=dict)
    imagenet: str = ""
    trainable: str = "all"
    genders: bool = False
    blocks: int = 0
    preprocessing: str = "none"
    augmentation: str = ""
    epochs: int = 10
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 0
    tries: int = 20


@dataclass(frozen=True, kw_only=True)
class SpeechTextTraining(ExperimentConfig):
    """One experiment with encoders of speech, of text, or both; every entry of the TOML is a field here.

    Attributes
    ----------
    speech, text : encoders as `models.encoders.EncoderReference.parse` reads them: "whisper-base" (bundled), a hub id
        with "@revision", or a folder; nothing leaves that part out
    network : entries of `SpeechTextConfig`: head, hidden, head_dropout, layers, freezing, lora, text_dropout …
    speech_overrides : entries of the speech encoder's own config (mask_time_prob for SpecAugment)
    preprocessing : one of `hear.PREPROCESSINGS`
    augmentation : a key of `augment.RECIPES`: beside each training clip one copy per augmentation; none is ever tested
    epochs, batch, accumulation, learning_rate, weight_decay, warmup : AdamW with a linear schedule
    class_weights : whether the loss weighs classes by how rare they are in training
    gradient_checkpointing : whether memory is saved at the price of time
    patience : training ends when UA+WA on the validation part has not risen in so many epochs, and the best epoch is
        kept; 0 for all epochs
    """

    speech: str = ""
    text: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    speech_overrides: dict[str, Any] = field(default_factory=dict)
    preprocessing: str = "application"
    augmentation: str = ""
    epochs: int = 6
    batch: int = 4
    accumulation: int = 4
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: int = 500
    class_weights: bool = False
    gradient_checkpointing: bool = False
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class TextEmotionTraining:
    """One training of a reader of words; every entry of the TOML is a field here, and nothing else is accepted.

    Attributes
    ----------
    id : name of the model; the run is named after the file
    architecture : "text-emotion"
    corpora : of text; "goemotions", or its folder
    encoder : as `models.encoders.EncoderReference.parse` reads it
    protocol : whose parts are trained on, chosen by and tested on
    max_tokens : of a sentence in training; the rest of it is left out
    freeze_embeddings : whether the words' vectors stay as they are, which saves time and memory
    epochs, batch, learning_rate, weight_decay, warmup : AdamW; the rate rises for `warmup` steps and falls to 0
    head_learning_rate, layer_decay : the new layer's own rate; what a layer's is in parts of that of the one above it
    balance : exponent of a label's (sentences without it) / (sentences with it), which a sentence with it weighs in the
        loss; 0 for none
    label_smoothing : how far a target is moved from 0 or 1 towards one half, 0 to 1
    dropout : before the new layer; within the encoder it is the encoder's own
    false_votes : at most this share of the dev part's sentences that are neutral alone may have a vote
    bfloat16 : whether training computes in bfloat16 where it loses nothing much; for processors that have it
    sentences : at most so many of each part, for trials; 0 for all
    note, hardware, seed : as in `ExperimentConfig`
    """

    id: str
    architecture: str
    corpora: tuple[str, ...]
    encoder: str
    protocol: str = "authors' parts"
    max_tokens: int = 64
    freeze_embeddings: bool = False
    epochs: int = 5
    batch: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup: int = 500
    head_learning_rate: float = 1e-3
    layer_decay: float = 1.0
    balance: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.1
    false_votes: float = 0.03
    bfloat16: bool = False
    sentences: int = 0
    note: str = ""
    hardware: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FusedTraining:
    """One model of a voice and a reader of words; every entry of the TOML is a field here, and nothing else.

    Attributes
    ----------
    id : name of the model; the run is named after the file
    architecture : "fused"
    corpora : on which it is measured; those of the voice's run
    speech : the TOML beside this one, without its suffix, of the voice's run
    text : the reader's folder in the models folder
    protocol : the voice's
    note, hardware : as in `ExperimentConfig`
    """

    id: str
    architecture: str
    corpora: tuple[str, ...]
    speech: str
    text: str
    protocol: str = STRANGERS
    note: str = ""
    hardware: str = ""


Config = TrainingConfig | ExperimentConfig | TextEmotionTraining | FusedTraining
CONFIGS: dict[str, type[TrainingConfig | ExperimentConfig | TextEmotionTraining | FusedTraining]] = {
    "fused": FusedTraining,
    "classical": ClassicalConfig,
    "network": NetworkConfig,
    "speech-text": SpeechTextTraining,
    "text-emotion": TextEmotionTraining,
    "whisper-tuned": TunedTraining,
}
"""What the entries of an architecture are; all others have those of `TrainingConfig`."""


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a TOML file, with some of its entries changed.

    Raises
    ------
    InvalidSettings
        There is no such file, it is no TOML, it has an entry that is not a field or lacks one, or a value makes
        no sense.
    """
    try:
        entries: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")) | dict(changes or {})
    except FileNotFoundError:
        raise InvalidSettings(f"There is no configuration {path}.") from None
    except OSError as error:
        raise InvalidSettings(f"The configuration {path} cannot be read ({error.strerror}).") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise InvalidSettings(f"{path} is not valid TOML: {error}.") from None
    kind = CONFIGS.get(str(entries.get("architecture")), TrainingConfig)
    if unknown := sorted(set(entries) - {item.name for item in fields(kind)}):
        raise InvalidSettings(f"{path} has entries that mean nothing: {', '.join(unknown)}.")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entries.items()}
    needed = [item.name for item in fields(kind) if item.default is item.default_factory is MISSING]
    if missing := [name for name in needed if name not in given]:
        raise InvalidSettings(f"{path} lacks {', '.join(missing)}.")
    types = {item.name: item.type for item in fields(kind)}
    for name, value in given.items():
        if not _makes_sense(name, value, KINDS[str(types[name])]):
            raise InvalidSettings(f"{path}: {name} is {value!r}, which is not what it should be.")
    try:
        return kind(**given)
    except InvalidSettings as error:
        raise InvalidSettings(f"{path}: {error}") from None


def _makes_sense(name: str, value: object, kind: type | tuple[type, ...]) -> bool:
    """Say whether the entry is of its kind and within its range; a list holds different words, and at least one."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return kind is bool and isinstance(value, bool)
    if isinstance(value, tuple):
        words = all(isinstance(item, str) for item in value) and len(set(value)) == len(value)
        return words and (bool(value) or name in MAY_BE_EMPTY)
    least, most = RANGES.get(name, (-math.inf, math.inf))
    return isinstance(value, str | dict) or (isinstance(value, int | float) and least <= value <= most)
