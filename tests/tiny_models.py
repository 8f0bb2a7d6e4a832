"""A folder of models as a person has one: the shipped ones, and tiny ones with random weights beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ser_engine import Analyzer, Settings

EMOTIONS = ("neutral", "happy", "sad", "angry")
FOREIGN = ("LABEL_3", "<b>bold</b> & :red[red]", "a_very_long_label_that_nobody_would_ever_have_wished_for", "joy")
"""What models of the hub may call their classes; the last is one of ours under another name."""


def write_models(folder: Path) -> Path:
    """Fill `folder` with links to the shipped models, "tiny-words" that listens and reads, and "tiny-foreign"."""
    folder.mkdir(parents=True, exist_ok=True)
    for shipped in Settings().models_dir.iterdir():
        if shipped.name != "encoders":  # where people keep real ones, into which nothing is written here
            (folder / shipped.name).symlink_to(shipped)
    write_words(folder)
    write_foreign(folder / "tiny-foreign")
    return folder


def write_words(models: Path) -> None:
    """Write a model of speech and text, whose words weigh about as much as its voice."""
    import torch

    from ser_engine.models.speech_text import SpeechText
    from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
    from ser_engine.models.speech_text_processor import SpeechTextProcessor
    from tests.ser_engine.models.tiny_encoders import write_speech, write_text

    write_speech(models / "encoders" / "hubert")
    write_text(models / "encoders" / "bert")
    settings = replace(Settings(), models_dir=models)
    network = SpeechTextForSequenceClassification.from_encoders(EMOTIONS, "hubert", "bert", settings)
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.normal_(0, 0.7, generator=torch.Generator().manual_seed(1))
    processor = SpeechTextProcessor.from_encoders("hubert", "bert", settings)
    SpeechText("tiny-words", network, processor).save(models / "tiny-words")


def write_foreign(folder: Path) -> None:
    """Write a classifier of Transformers with labels of its own."""
    from tests.ser_engine.models.test_hub import checkpoint

    checkpoint(folder, labels=FOREIGN)


def write_heads(models: Path) -> None:
    """Link the shipped Whisper in `models`, and write "tiny-heads" on its encoder: a model that can be calibrated."""
    import numpy as np
    import torch

    from ser_engine.features.encoder import BLOCKS
    from ser_engine.models.whisper import shared_whisper
    from ser_engine.models.whisper_heads import Shape, WhisperHeads, build_member

    models.mkdir(parents=True, exist_ok=True)
    if not (models / "whisper-base").exists():
        (models / "whisper-base").symlink_to(Settings().models_dir / "whisper-base")
    encoder = shared_whisper(Settings()).encoder
    shape = Shape(len(EMOTIONS), hidden=16, mixes=2)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        member = build_member(encoder, shape)
    population = np.random.default_rng(1).normal(0, 0.5, (BLOCKS + 1, shape.width)).astype(np.float32)
    WhisperHeads("tiny-heads", EMOTIONS, [member], [shape], encoder, population).save(models / "tiny-heads")


def heads_analyzer(folder: Path) -> Analyzer:
    """Write "tiny-heads" to `folder`/models and return an Analyzer on it, without transcripts and speaker turns."""
    write_heads(folder / "models")
    return Analyzer(Settings(models_dir=folder / "models", model="tiny-heads", transcribe=False, speakers="off"))
