"""A folder in which the papers' commands run as printed, in seconds: few clips, one epoch, tiny random weights.

The configurations are the project's own, but for how much is computed (`REDUCED`, `SMALL`). The corpora have the real
ones' file names, and the weights come under their real ids from a hub on this computer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soxr
import torch
from safetensors.torch import save_file

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.models import store
from ser_engine.papers.audioset import ARCHITECTURE, EXTRACTORS
from ser_engine.papers.image_backbones import IMAGENET, ImageNetwork
from ser_engine.papers.network import build
from ser_engine.settings import PROJECT
from ser_engine.training.config import config_name, read_entries
from tests.ser_engine.models.loopback_hub import Hub
from tests.ser_engine.models.tiny_encoders import write_speech, write_text
from tests.speech import RATE, encode, speech

REDUCED = {"epochs": 1, "balance_to": 2, "validation_to": 1, "tries": 1, "warmup": 0}
"""Entries that only say how long a training takes."""
SMALL: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {"depth_multiplier": 0.1},
    "vgg16": {"filters": [4, 0, 4, 0, 4, 0, 4, 0, 4, 0]},
    "resnet50v2": {"depths": [1, 1], "widths": [32, 64], "stem": 8, "groups": 4, "dense": 16},
    "resnet34": {"depths": [1, 1], "widths": [8, 16], "stem": 8},
    "cnn2d": {"filters": [4, 4, 4, 4], "dense": 8},
    "tiwari-cnn": {"filters": [4, 4]},
}
"""Options of each kind of network that make it small."""
EXTRACTOR: dict[str, dict[str, Any]] = {
    "vggish": {"filters": [4, 0, 4, 0, 8, 8, 0, 8, 8, 0], "dense": 16},
    "yamnet": {"layers": [[4, 2], [8, 2], [1024, 2]], "classes": 4},
}
TAKES = 5
"""Clips of each speaker and emotion; two speakers make ten, so that each of seven is in all parts of 70:10:20."""

# Number of the label, its code, number of the speaker (0 or 1) and of the take → the name of a clip.
Name = Callable[[int, str, int, int], str]
NAMES: dict[str, Name] = {
    "ravdess": lambda number, _, speaker, take: f"03-01-{number + 1:02}-01-01-{take + 1:02}-{('01', '04')[speaker]}",
    "cremad": lambda _, code, speaker, take: f"{1001 + speaker}_{('IEO', 'TIE', 'IOM', 'IWW', 'TAI')[take]}_{code}_XX",
    "tess": lambda _, code, speaker, take: (
        f"{('OAF', 'YAF')[speaker]}_{('back', 'bar', 'base', 'bath', 'bean')[take]}_{code}"
    ),
    "savee": lambda _, code, speaker, take: f"{('DC', 'JE')[speaker]}_{code}{take + 1:02}",
    "emodb": lambda _, code, speaker, take: (
        f"{('03', '08')[speaker]}{('a01', 'a02', 'a04', 'a05', 'a07')[take]}{code}a"
    ),
    "emovo": lambda _, code, speaker, take: f"{code}-{('f1', 'm1')[speaker]}-b{take + 1}",
    "ased": lambda _, code, speaker, take: f"{code}1-{take + 1:02}-01-01-{speaker + 1:02}",
    "aesdd": lambda _, code, speaker, take: f"{code}{take + 1:02} ({speaker + 1})",
    "shemo": lambda _, code, speaker, take: f"{('F01', 'M02')[speaker]}{code}{take + 1:02}",
    "subesco": lambda _, code, speaker, take: f"{('F_01_OISHI', 'M_01_JAKIR')[speaker]}_S_{take + 1}_{code}_1",
    "banglaser": lambda number, _, speaker, take: f"03-01-{number + 1:02}-01-01-{take + 1:02}-{speaker + 1:02}",
}


def write_corpora(data: Path, names: Mapping[str, Name] | None = None) -> None:
    """Write two speakers of each corpus; the clips of an emotion are one recording, at a speed of its own."""
    spoken = speech()[RATE // 4 :]
    for id, name in (names or NAMES).items():
        (data / id).mkdir(parents=True)
        for number, (code, _) in enumerate(CORPORA[id].labels.items()):
            clip = encode(soxr.resample(spoken, RATE * (0.8 + 0.05 * number), RATE))
            for speaker in (0, 1):
                for take in range(TAKES):
                    (data / id / f"{name(number, code, speaker, take)}.wav").write_bytes(clip)


def write_configs(folder: Path) -> None:
    """Write the project's configurations, each whole and reduced."""
    for path in sorted((PROJECT / "configs").glob("*/*.toml")):
        entries = read_entries(path)
        entries |= {name: value for name, value in REDUCED.items() if entries.get(name)}
        if small := SMALL.get(str(entries.get("kind"))):
            entries["options"] = {**entries.get("options", {}), **small}
        file = folder / f"{config_name(path)}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in entries.items()), encoding="utf-8")


def _toml(value: Any) -> str:
    """Return a value as TOML; tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(entry)}" for name, entry in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def write_models(folder: Path) -> None:
    """Write the bundled Whisper as a link, and tiny VGGish and YAMNet as `audioset_weights.convert` would."""
    folder.mkdir(parents=True)
    for bundled in ("whisper-base", "goemotions-minilm"):
        (folder / bundled).symlink_to(PROJECT / "models" / bundled, target_is_directory=True)
    for name, options in EXTRACTOR.items():
        torch.manual_seed(0)
        checksum = store.write_tensors(folder / name, EXTRACTORS[name](**options).state_dict())
        entries = {"architecture": ARCHITECTURE, "network": name, "options": options}
        store.write_config(folder / name, {**entries, "weights": {store.TENSORS: checksum}})


def publish(hub: Hub, folder: Path) -> None:
    """Put tiny random checkpoints under the ids of the configurations into a hub."""
    for id, kind in {
        "facebook/hubert-base-ls960": "hubert",
        "facebook/hubert-large-ll60k": "hubert-large",
        "facebook/wav2vec2-large": "wav2vec2",
    }.items():
        commits = [commit] if (commit := _pinned().get(id)) else []
        hub.add(id, write_speech(folder / kind, kind), *commits)
    for id in ("google-bert/bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2"):
        commits = [commit] if (commit := _pinned().get(id.removeprefix("google-bert/"))) else []
        hub.add(id, write_text(folder / id.partition("/")[2], "bert-heads"), *commits)
    for kind, options in SMALL.items():
        module = build(kind, 2, options | ({"size": 64} if kind == "vgg16" else {}))
        if isinstance(module, ImageNetwork):
            id, prefix = IMAGENET[type(module)]
            (folder / kind).mkdir()
            tensors = {prefix + name: tensor.contiguous() for name, tensor in module.body.state_dict().items()}
            save_file(tensors, folder / kind / "model.safetensors", {"format": "pt"})
            (folder / kind / "config.json").write_text(json.dumps({"architectures": [kind]}))
            hub.add(id, folder / kind)


def _pinned() -> dict[str, str]:
    """Return the commit of each id that a configuration pins."""
    entries = [read_entries(path) for path in (PROJECT / "configs").glob("*/*.toml")]
    named = [str(each[key]) for each in entries for key in ("speech", "text", "encoder", "imagenet") if key in each]
    return {id: commit for id, at, commit in (name.partition("@") for name in named) if at}
