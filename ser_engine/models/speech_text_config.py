"""What a network of speech and text is made of: its config.json."""

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
FREEZING = re.compile(r"head|partial|entire|top-[1-9]\d*")
TRAINED, WHOLE = "trained", "whole"


class SpeechTextConfig(PreTrainedConfig):
    """What a network is made of; written to config.json and read from it.

    Attributes
    ----------
    speech_source, text_source : the encoders, as `EncoderReference.to_dict`; None leaves that part out
    speech_config, text_config : the encoders' own configs
    head : "linear" (paper-1, III.D; paper-3) or "two-layer" (paper-2, 3.3: mean pool and two feed-forward layers)
    hidden : width between the two layers, of which paper-2 says nothing
    head_dropout : on the pooled vectors; paper-1 has such a layer and does not say how much
    layers : of the speech encoder: "last" (the papers), "weighted" (a learned mean of all), "all" (side by side)
    standardised : whether pooled states are centred and scaled by what they were in training, for frozen encoders
    freezing : paper-1, figure 7: "head" (encoders frozen), "partial" (convolutions frozen), "entire" (nothing frozen);
        "top-N" trains the N highest transformer layers of each encoder
    lora : {"r", "alpha", "dropout"} of low-rank adapters on frozen encoders, which takes the package peft
    text_dropout, speech_dropout : chances that a training clip's words (or its sound) are left out
    score_temperature : what logits are divided by for calibrated scores; not in training
    stored : "trained" (the file beside holds what is no encoder's) or "whole" (it holds the encoders as well)
    weights : {file: SHA-256} of what lies beside
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
    standardised: bool = False
    freezing: str = "head"
    lora: dict[str, Any] | None = None
    text_dropout: float = 0.0
    speech_dropout: float = 0.0
    score_temperature: float = 1.0
    initializer_range: float = 0.02
    stored: str = TRAINED
    weights: dict[str, str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Check what cannot mean anything."""
        super().__post_init__(**kwargs)
        self.check()

    def check(self) -> None:
        """Raise InvalidSettings where an entry makes no sense."""
        if self.head not in HEADS:
            raise InvalidSettings(f"A head is {' or '.join(HEADS)}, not “{self.head}”.")
        if self.layers not in LAYERS:
            raise InvalidSettings(f"Layers are last, weighted or all, not “{self.layers}”.")
        if not FREEZING.fullmatch(self.freezing):
            raise InvalidSettings(f"Freezing is head, partial, entire or top-N, not “{self.freezing}”.")
        if self.lora is not None and self.freezing != "head":
            raise InvalidSettings("LoRA adapts frozen encoders: it goes with freezing “head” alone.")
        for name in ("head_dropout", "text_dropout", "speech_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidSettings(f"{name} is a share from 0 to below 1, not {getattr(self, name)}.")
        if not self.score_temperature > 0:
            raise InvalidSettings(f"score_temperature is more than 0, not {self.score_temperature}.")

    def override(self, entries: Mapping[str, Any]) -> Self:
        """Change some entries; raises InvalidSettings where there is no such entry or it makes no sense."""
        for name, value in entries.items():
            if name not in self.entries():
                raise InvalidSettings(f"A network has no entry “{name}”.")
            setattr(self, name, value)
        self.check()
        return self

    @classmethod
    def entries(cls) -> set[str]:
        """Return the names of all entries; a config.json may hold others, which are the model's card."""
        return {item.name for item in fields(cls)} | {"model_type"}

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions in the order of the logits."""
        names = {int(number): str(name) for number, name in (self.id2label or {}).items()}
        return tuple(names[number] for number in range(len(names)))
