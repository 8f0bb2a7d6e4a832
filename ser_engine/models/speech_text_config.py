"""The configuration of a network of speech and text: its config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from transformers import PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.models.auto.configuration_auto import AutoConfig

from ser_engine.errors import InvalidSettings

ARCHITECTURE = "speech-text"
HEADS = ("linear", "two-layer")
LAYERS = ("last", "weighted", "all")
FREEZING = re.compile(r"head|partial|entire|(top|convolutions)-[1-9]\d*")
TRAINED, WHOLE = "trained", "whole"


class SpeechTextConfig(PreTrainedConfig):
    """The structure of a network, written to config.json and read from it.

    Attributes
    ----------
    speech_source, text_source : the encoders, the entries of an `EncoderReference`; None omits that part
    speech_config, text_config : the encoders' own configs
    head : "linear" (Sharma 2023, III.D; Islam) or "two-layer" (Jafarzadeh, 3.3: two feed-forward layers)
    hidden : width between the two layers, which Jafarzadeh does not state
    head_dropout : on the pooled vectors; Sharma does not state the rate
    layers : of the speech encoder: "last" (the papers), "weighted" (a learned mean of all), "all" (concatenated)
    standardized : whether pooled states are centered and scaled by their training statistics, for frozen encoders
    freezing : Sharma, figure 7: "head" (encoders frozen), "partial" (convolutions frozen), "entire" (nothing frozen);
        "top-N" trains the N highest transformer layers of each encoder, "convolutions-N" the last N convolutions of the
        speech encoder alone (III.D.1: "unfreezing the top 2 CNN encoder layers")
    lora : {"r", "alpha", "dropout"} of low-rank adapters on frozen encoders, which needs the package peft
    text_dropout, speech_dropout : probabilities that a training clip's words (or audio) are left out
    score_temperature : divisor of the logits for calibrated scores; not used in training
    stored : "trained" (the weights file omits the encoders) or "whole" (it includes them)
    weights : {file: SHA-256} of the folder's other files
    """

    model_type = ARCHITECTURE
    sub_configs_defaults = {  # noqa: RUF012
        "speech_config": SubConfigSpec(AutoConfig, model_type="hubert", optional=True),
        "text_config": SubConfigSpec(AutoConfig, model_type="bert", optional=True),
    }

    architecture: str = ARCHITECTURE
    speech_source: dict[str, str] | None = None
    text_source: dict[str, str] | None = None
    speech_config: PreTrainedConfig | dict[str, Any] | None = None
    text_config: PreTrainedConfig | dict[str, Any] | None = None
    head: str = "linear"
    hidden: int = 256
    head_dropout: float = 0.1
    layers: str = "last"
    standardized: bool = False
    freezing: str = "head"
    lora: dict[str, Any] | None = None
    text_dropout: float = 0.0
    speech_dropout: float = 0.0
    score_temperature: float = 1.0
    initializer_range: float = 0.02
    stored: str = TRAINED
    weights: dict[str, str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Check the entries."""
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        self.check()

    def check(self) -> None:
        """Raise InvalidSettings for an invalid entry."""
        if self.head not in HEADS:
            raise InvalidSettings(f"A head is {' or '.join(HEADS)}, not “{self.head}”.")
        if self.layers not in LAYERS:
            raise InvalidSettings(f"Layers are last, weighted or all, not “{self.layers}”.")
        if not FREEZING.fullmatch(self.freezing):
            raise InvalidSettings(f"Freezing is head, partial, entire, top-N or convolutions-N, not “{self.freezing}”.")
        if self.lora is not None and self.freezing != "head":
            raise InvalidSettings("LoRA adapts frozen encoders: it goes with freezing “head” alone.")
        for name in ("head_dropout", "text_dropout", "speech_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidSettings(f"{name} is a share from 0 to below 1, not {getattr(self, name)}.")
        if not self.score_temperature > 0:
            raise InvalidSettings(f"score_temperature is more than 0, not {self.score_temperature}.")

    def override(self, entries: Mapping[str, Any]) -> Self:
        """Change entries; raises InvalidSettings for unknown entries and invalid values."""
        for name, value in entries.items():
            if name not in self.entries():
                raise InvalidSettings(f"A network has no entry “{name}”.")
            setattr(self, name, value)
        self.check()
        return self

    @classmethod
    def entries(cls) -> set[str]:
        """Return the names of all entries; others in config.json belong to the model's card."""
        return {item.name for item in fields(cls)} | {"model_type"}

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions in the order of the logits."""
        names = {int(number): str(name) for number, name in (self.id2label or {}).items()}
        return tuple(names[number] for number in range(len(names)))
