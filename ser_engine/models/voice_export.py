"""Export of a voice model for programs in other languages: one ONNX file, and how to use it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.features.encoder import MAX_SAMPLES
from ser_engine.io import atomic_write, write_text
from ser_engine.models import trained_on
from ser_engine.models.onnx_graph import MODEL
from ser_engine.models.registry import find_model
from ser_engine.models.store import read_config, references, verify_part
from ser_engine.models.voice_graph import build_voice_graph
from ser_engine.models.whisper import BUNDLED
from ser_engine.models.whisper_onnx import BASE_MODEL
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, WINDOW_S

README, CARD, WHISPER_LICENSE = "README.md", "MODEL_CARD.md", "LICENSE-whisper"
HEADS, TUNED, FUSED = "whisper-heads", "whisper-tuned", "fused"
MAX_S = MAX_SAMPLES // SAMPLE_RATE
LIMITS = ("Intended use", "Limitations")
"""Sections of a model's card that the README repeats."""


def export_model(folder: Path, output: Path, settings: Settings) -> Path:
    """Write a voice model to the folder `output` and return the ONNX file.

    Its metadata has the entries name, labels (a list in JSON), threshold (of the top probability, below which an answer
    is "not sure"; 0 where it was not measured), sampling_rate, license and made_with. Next to it are a README.md with
    examples, the model's card, the list of its training clips where it has one, and Whisper's license.

    Raises
    ------
    InvalidSettings
        The model is of a kind that cannot be exported, or `output` holds something else than an earlier export.
    WeightsUnavailable
        There is no model in `folder`, it is damaged, or a part of it is missing.
    """
    config = read_config(folder)
    _refuse_others(folder, config)
    _refuse_full(output)
    encoder = settings.models_dir / f"whisper-{BUNDLED}"
    try:
        if config["architecture"] == TUNED:
            base = verify_part(references(folder)[BASE_MODEL], folder, settings)
            model = build_voice_graph(encoder, (base, read_config(base)), (folder, config))
        else:
            model = build_voice_graph(encoder, (folder, config))
        labels = [str(label) for label in config["labels"]]
    except (KeyError, TypeError, ValueError):
        raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
    card = _read(folder / README)
    about = {
        "name": folder.name,
        "labels": json.dumps(labels),
        "threshold": str(config.get("measured", {}).get("not_sure", {}).get("below", 0)),
        "sampling_rate": str(SAMPLE_RATE),
        "license": _license(card),
        "made_with": f"ser-engine {_version()}",
    }
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    try:
        for name in (CARD, trained_on.FILE):  # an earlier export may have been of a model that has them
            (output / name).unlink(missing_ok=True)
        with atomic_write(output / MODEL) as part:
            part.write_bytes(model.SerializeToString(deterministic=True))
        if card:
            write_text(output / CARD, re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", card))  # links to other folders
        for source, name in ((folder / trained_on.FILE, trained_on.FILE), (encoder / "LICENSE", WHISPER_LICENSE)):
            if source.is_file():
                with atomic_write(output / name) as part:
                    shutil.copyfile(source, part)
        write_text(output / README, _readme(about, labels, card))
    except OSError as error:
        raise InvalidSettings(f"{output} cannot be written ({error.strerror}).") from None
    return output / MODEL


def find_exportable(name: str, settings: Settings) -> Path:
    """Return the folder of the model that `name` is: a folder of models, or a path."""
    return find_model(replace(settings, model=name), fetch=False)


def _refuse_others(folder: Path, config: Mapping[str, Any]) -> None:
    architecture = config.get("architecture", "transformers" if "model_type" in config else "unknown")
    if architecture in (HEADS, TUNED):
        return
    if architecture == FUSED:
        audio = config.get("audio", {}).get("id", "")
        raise InvalidSettings(f"{folder.name} reads words, too; export the voice model that it is made of: {audio}.")
    raise InvalidSettings(
        f"{folder.name} is of a kind that cannot be exported ({architecture}); only {HEADS} and {TUNED} can."
    )


def _refuse_full(output: Path) -> None:
    if output.is_file():
        raise InvalidSettings(f"{output} is a file; name a folder.")
    earlier = all((output / name).is_file() for name in (MODEL, README, WHISPER_LICENSE))
    if output.is_dir() and any(output.iterdir()) and not earlier:
        raise InvalidSettings(f"{output} is not empty and holds no earlier export; name another folder.")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _license(card: str) -> str:
    """Return what the front matter of a card says."""
    found = re.search(r"\A---\n(?:.*\n)*?license: *(\S+)", card)
    return found[1] if found else "other"


def _version() -> str:
    try:
        return version("ser-engine")
    except PackageNotFoundError:  # run from a checkout
        return "from a checkout"


def _readme(about: Mapping[str, str], labels: list[str], card: str) -> str:
    """Return the README of an export."""
    sections = (re.search(rf"^## {title}\n.*?(?=^## |\Z)", card, re.MULTILINE | re.DOTALL) for title in LIMITS)
    limits = "\n\n".join(found[0].strip() for found in sections if found)
    whole = f"[{CARD}]({CARD}) has its measured figures and its training data." if card else ""
    return (
        f"""---
license: {about["license"]}
pipeline_tag: audio-classification
library_name: onnxruntime
---

# {about["name"]}

Emotion from the voice, as one ONNX file of standard operators (opset 20): {", ".join(labels)}. {whole}

- Input `samples`: float32 [batch, n], mono speech at 16 kHz, from 0.3 to {MAX_S} seconds. All recordings of a batch
  have the same length: padding would change the answer. Any level will do, since the graph normalizes it.
- Output `probabilities`: float32 [batch, {len(labels)}], calibrated, in the order above.
- Metadata: `name`, `labels` (a list in JSON), `threshold`, `sampling_rate`, `license`, `made_with`. If no probability
  reaches the threshold, {about["threshold"]}, the answer is “not sure”.

The caller finds the speech: long pauses should be cut out, and for silence, music and noise the answer means nothing.
Long recordings are best cut into windows of {WINDOW_S:g} seconds whose probabilities are averaged. The engine that
exported this file also reduces strong noise; on the same samples, it gives the same probabilities.

## Python

```python
import json
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession("{MODEL}")
about = session.get_modelmeta().custom_metadata_map
samples, rate = soundfile.read("speech.wav", dtype="float32")  # mono, at 16 kHz
assert rate == int(about["sampling_rate"])
(probabilities,) = session.run(["probabilities"], {{"samples": samples[None]}})
answer = dict(zip(json.loads(about["labels"]), probabilities[0].tolist()))
print(max(answer, key=answer.get) if max(answer.values()) >= float(about["threshold"]) else "not sure", answer)
```

## JavaScript

```js
import * as ort from "onnxruntime-web";

const labels = {json.dumps(labels)};
const session = await ort.InferenceSession.create("{MODEL}");

export async function recognize(bytes) {{  // of a recording: an ArrayBuffer
  const sound = await new OfflineAudioContext(1, 1, {SAMPLE_RATE}).decodeAudioData(bytes);
  const samples = new ort.Tensor("float32", sound.getChannelData(0), [1, sound.length]);
  const {{ probabilities }} = await session.run({{ samples }});
  return Object.fromEntries(labels.map((label, n) => [label, probabilities.data[n]]));
}}
```

## License

The model: {about["license"]}. It contains weights of OpenAI's Whisper, under the MIT license
([{WHISPER_LICENSE}]({WHISPER_LICENSE})).

{limits}
""".rstrip()
        + "\n"
    )
