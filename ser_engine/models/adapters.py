"""Low-rank adapters (LoRA: Hu et al., 2022) in frozen encoders, by the package peft, which is needed here alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from ser_engine.errors import InvalidSettings

# LoRA adapts queries and values (section 4.2 there). WavLM's attention reads its weights directly, past any adapter,
# so there the feed-forward layers are adapted.
LORA_TARGETS = {"wavlm": ["intermediate_dense", "output_dense"]}
LORA_TARGETS_ELSEWHERE = r".*\.(q_proj|v_proj|query|value|q_lin|v_lin|q|v)"


def adapt(encoder: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Insert adapters into an encoder, whose output stays the same until they are trained.

    `options` are "r" (the rank), "alpha" (the scale, times r) and "dropout".
    Raise InvalidSettings if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InvalidSettings("LoRA needs the package peft: “pip install peft”.") from None
    lora = LoraConfig(
        r=int(options.get("r", 8)),
        lora_alpha=int(options.get("alpha", 16)),
        lora_dropout=float(options.get("dropout", 0.0)),
        target_modules=LORA_TARGETS.get(encoder.config.model_type, LORA_TARGETS_ELSEWHERE),
    )
    inject_adapter_in_model(lora, encoder)
