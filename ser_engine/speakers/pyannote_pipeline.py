"""Speaker turns by a pipeline of pyannote.audio, where a person has the package and its weights and asks for it.

It is no dependency, and its weights are not bundled: their publisher asks for an agreement on the Hugging Face hub.
Versions 3 and 4 answer alike, apart from the type: an `Annotation`, and a `DiarizeOutput` that holds one.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.hub_files import first_line
from ser_engine.settings import PYANNOTE, Settings, variable
from ser_engine.speakers.diarization import Turn
from ser_engine.types import SAMPLE_RATE

MODEL = "pyannote/speaker-diarization-community-1"
"""The pipeline that is used where none is named."""
INSTALL = "pip install pyannote.audio"

_LOADING = threading.Lock()


def is_chosen(settings: Settings) -> bool:
    """Whether the settings ask for a pipeline of pyannote.audio."""
    return settings.speakers.partition(":")[0] == PYANNOTE


def find_turns(samples: NDArray[np.float32], settings: Settings) -> tuple[Turn, ...]:
    """Return who speaks when in float32 [n] at 16 kHz, in order; turns overlap where several speak at once.

    Raise WeightsUnavailable if the package or the pipeline that the settings name is missing, or if it fails.
    """
    import torch

    pipeline = load_pipeline(settings)
    sound = {"waveform": torch.from_numpy(np.ascontiguousarray(samples))[None], "sample_rate": SAMPLE_RATE}
    try:
        answer = pipeline(sound)
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsUnavailable(f"The pipeline “{_name(settings)}” failed: {first_line(error)}.") from error
    return read_turns(answer)


def load_pipeline(settings: Settings) -> Any:
    """Return the pipeline that the settings name, loaded once; raise WeightsUnavailable if it is missing."""
    from ser_engine.models.device import choose_device

    with _LOADING:
        return _load(_name(settings), settings.allow_download).to(choose_device(settings))


def _name(settings: Settings) -> str:
    return settings.speakers.partition(":")[2] or MODEL


def read_turns(answer: Any) -> tuple[Turn, ...]:
    """Return the turns of a pipeline's answer, with speakers numbered in the order of their first turns."""
    annotation = getattr(answer, "speaker_diarization", answer)
    spans = sorted(
        (float(segment.start), float(segment.end), str(label))
        for segment, _, label in annotation.itertracks(yield_label=True)
    )
    numbers = {label: number for number, label in enumerate(dict.fromkeys(label for _, _, label in spans))}
    return tuple(Turn(max(0.0, start), end, numbers[label]) for start, end, label in spans)


@lru_cache(maxsize=1)
def _load(name: str, allow_download: bool) -> Any:
    """Return the pipeline of a folder, of a config.yaml, or of the Hugging Face hub."""
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "false")  # else it reports every use to its publisher
    try:
        from pyannote.audio import Pipeline
    except (ImportError, OSError, RuntimeError) as error:  # a torchaudio for another torch raises OSError
        raise WeightsUnavailable(
            f"{variable('speakers')} (--speakers) is {PYANNOTE}, which needs a package: “{INSTALL}” installs it "
            f"({first_line(error)})."
        ) from None
    try:
        pipeline = Pipeline.from_pretrained(_find(name, allow_download))
    except WeightsUnavailable:
        raise
    except Exception as error:  # of the hub, of YAML, of torch: the pipeline's own libraries raise what they like
        raise WeightsUnavailable(f"The pipeline “{name}” cannot be loaded: {first_line(error)}.") from error
    if pipeline is None:
        raise WeightsUnavailable(f"The pipeline “{name}” cannot be loaded; {_remedy(name)}.")
    return pipeline


def _find(name: str, allow_download: bool) -> str:
    """Return the path of a pipeline, downloaded where that is permitted."""
    if Path(name).exists():
        return name
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(name, local_files_only=not allow_download)
    except HFValidationError:
        raise WeightsUnavailable(
            f"There is no pipeline “{name}”: it is neither a path nor a name of the hub."
        ) from None
    except (GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OSError):
        raise WeightsUnavailable(f"The pipeline “{name}” is not on this computer; {_remedy(name)}.") from None


def _remedy(name: str) -> str:
    return f"accept its conditions on https://hf.co/{name}, then run “hf auth login” and “hf download {name}”"
