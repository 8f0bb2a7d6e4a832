"""Evaluate a model on corpora, ordinary talk or a conversation, or recompute the figures of a run from its predictions.

A run's figures are compared with its run.json; the exit code is 1 if they differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ser_engine.cli.output import print_figures, print_record
from ser_engine.errors import InvalidSettings
from ser_engine.labels import LABEL_SETS
from ser_engine.settings import Settings

HELP = "evaluate a model, or recompute the figures of a run"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "target",
        metavar="MODEL|RUN",
        help="a model (folder in models/, path, or hf:OWNER/NAME[@REVISION]), or a run in the results",
    )
    corpora = parser.add_argument_group("on corpora")
    corpora.add_argument(
        "--corpora", nargs="+", default=(), metavar="CORPUS", help="corpora or manifests (default: all)"
    )
    corpora.add_argument(
        "--protocol", metavar="NAME", default="as-is", help="use the test clips of this protocol (default: all clips)"
    )
    corpora.add_argument("--labels", choices=LABEL_SETS, default="eight", help="label set (default: eight)")
    corpora.add_argument("--words", action="store_true", help="also transcribe, for models that use text")
    corpora.add_argument(
        "--workers", type=int, metavar="N", default=0, help="number of threads (default: one per core)"
    )
    parser.add_argument(
        "--ordinary",
        nargs="+",
        metavar="CORPUS|PATH",
        help="count false alarms on ordinary talk: corpora, recordings or folders",
    )
    talk = parser.add_argument_group("on a conversation")
    talk.add_argument(
        "--conversation",
        nargs=2,
        type=Path,
        metavar=("AUDIO", "TURNS.csv"),
        help="recording and its turns with the columns start, end, emotion",
    )
    talk.add_argument("--window", type=float, default=2.0, metavar="SECONDS", help="length of a window (default: 2)")
    talk.add_argument("--gate", choices=("speech", "rms"), default="speech", help="as in ser live")
    parser.add_argument("--unseen", action="store_true", help="state that the model was not trained on these speakers")
    parser.add_argument("--name", default="", help="name of the run's folder in the results")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Evaluate and print the figures."""
    from ser_engine.evaluation.predictions import FILE
    from ser_engine.evaluation.record import find_records

    if options.conversation:
        return _evaluate_conversation(options, settings)
    if options.ordinary:
        return _evaluate_ordinary(options, settings)
    if (settings.results / options.target / FILE).exists():
        return _recompute_run(options.target, settings)
    if runs := [id for id in find_records(settings.results) if id.startswith(f"{options.target}/")]:
        raise InvalidSettings(f"“{options.target}” is not a whole run; there are {', '.join(runs)}.")
    return _evaluate_model(options, settings)


def _evaluate_model(options: argparse.Namespace, settings: Settings) -> int:
    from ser_engine.evaluation.evaluate_model import Plan, evaluate_model

    plan = Plan(
        model=options.target,
        corpora=tuple(options.corpora),
        protocol=options.protocol,
        label_set=options.labels,
        unseen=options.unseen,
        words=options.words,
        name=options.name,
    )
    record = evaluate_model(plan, settings, settings.data, settings.results, options.workers)
    print_record(
        record, "model", "protocol", "note", "metrics", "interval", "by_corpus", "dropped", "no_speech", "details"
    )
    return 0


def _evaluate_ordinary(options: argparse.Namespace, settings: Settings) -> int:
    from ser_engine.evaluation.evaluate_ordinary import evaluate_ordinary

    record = evaluate_ordinary(options.target, options.ordinary, settings, options.words)
    print_record(record, "model", "note", "details")
    return 0


def _recompute_run(id: str, settings: Settings) -> int:
    from ser_engine.evaluation.evaluate import recompute

    figures, differing = recompute(settings.results, id)
    print_figures(figures, "metrics", "interval", "by_corpus", "degradations", "no_speech")
    if differing:
        print(f"{settings.results / id / 'run.json'} differs: {', '.join(differing)}.", file=sys.stderr)
        return 1
    return 0


def _evaluate_conversation(options: argparse.Namespace, settings: Settings) -> int:
    from ser_engine.evaluation.live import Plan, evaluate_conversation

    recording, turns = options.conversation
    plan = Plan(
        options.target, recording, turns, options.window, gate=options.gate, unseen=options.unseen, name=options.name
    )
    record = evaluate_conversation(plan, settings, settings.results)
    details = {name: record.details[name] for name in ("segments", "silent", "response_ms")}
    for name in ("groups", "emotions"):
        if figures := record.details[name]:
            details[name] = {key: figures[key] for key in ("tested", "unanswered", "metrics", "left_out")}
    print_figures({"id": record.id, "model": record.model, "note": record.note, **details})
    return 0
