"""Build a labeled conversation from clips of speakers that a model was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.models.registry import find_model
from ser_engine.settings import Settings

HELP = "build a labeled conversation from clips of unseen speakers"
SHARED = ("data",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "output", type=Path, metavar="OUT.wav", help="a file outside the project; the turns are written to OUT.csv"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpora", nargs="+", metavar="CORPUS", help="corpora or manifests to take the speakers from")
    source.add_argument(
        "--config", type=Path, metavar="CONFIG.toml", help="take the speakers from a test fold of this system"
    )
    parser.add_argument(
        "--fold", metavar="NAME", default="1", help="test fold; its model is trained and saved (default: 1)"
    )
    parser.add_argument(
        "--seconds", type=float, default=142.0, help="minimum length (default: 142, as in Islam et al.)"
    )
    parser.add_argument("--voices", type=int, metavar="N", default=2, help="number of speakers (default: 2)")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="random seed (default: 0)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Build the conversation, then print the command that evaluates a model on it."""
    from ser_engine.data import conversation
    from ser_engine.data.corpora import registry

    model = find_model(settings).name
    if options.config:
        from ser_engine.training.fold_model import train_fold_model

        folder, utterances = train_fold_model(options.config, options.fold, settings)
        model = str(folder)
    else:
        utterances = [utterance for name in options.corpora for utterance in registry.read_corpus(name, settings.data)]
    samples, turns = conversation.build_conversation(
        utterances, options.seconds, options.voices, options.seed, settings
    )
    labels = conversation.write_conversation(options.output, samples, turns, settings)
    print(f"{len(turns)} clips of {', '.join(sorted({turn.speaker for turn in turns}))}; turns in {labels}")
    print(f"ser evaluate {model} --conversation {options.output} {labels}")
    return 0
