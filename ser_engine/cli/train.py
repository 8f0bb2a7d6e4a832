"""Train and evaluate the system that a TOML file describes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_engine.cli.output import print_record
from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from ser_engine.training.dry_run import DryRun

HELP = "train and evaluate a system"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="such as configs/ours/svm.toml")
    parser.add_argument("--protocol", metavar="NAME", help="one of the protocols in the file (default: each of them)")
    parser.add_argument("--folds", type=int, metavar="N", help="only the first N folds; the others stay to be done")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of each training (default: those in the file)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print clips, folds, steps, parameters, memory and hours; train nothing"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, evaluate and print the figures of each protocol, or print what that would take."""
    from ser_engine.training.config import load_config, read_protocols
    from ser_engine.training.dry_run import estimate
    from ser_engine.training.runner import run_experiment

    for name in ("folds", "epochs"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InvalidSettings(f"--{name} is 1 or more, not {value}.")
    changes: dict[str, Any] = {} if options.epochs is None else {"epochs": options.epochs}
    for protocol in [options.protocol] if options.protocol else read_protocols(options.config):
        if changes and not hasattr(load_config(options.config, protocol), "epochs"):
            raise InvalidSettings(f"{options.config} trains no network, so it has no epochs.")
        if options.dry_run:
            print(describe(estimate(options.config, protocol, settings, changes)))
            continue
        record = run_experiment(options.config, protocol, settings, changes, options.folds or 0)
        print_record(record, "metrics", "interval", "by_corpus", "external", "no_speech")
    return 0


def describe(found: DryRun) -> str:
    """Return what a run would take, a line for each figure."""
    from ser_engine.data.corpora.registry import CORPORA

    lacking = ", ".join(CORPORA[name].title for name in found.published)
    lines = {
        "clips": f"{found.clips:,}" + (f" (not here, as published: {lacking})" if lacking else ""),
        "folds": f"{found.folds}, with {found.examples:,} training examples each",
        "steps": f"{found.steps:,}" if found.steps else "",
        "parameters": f"{found.parameters:,}, of which {found.trained:,} are trained" if found.parameters else "",
        "memory": f"{found.memory_mb / 1000:.1f} GB" if found.memory_mb else "",
        "time": f"{wording(found.hours)} on {found.cores} cores, by {found.basis}",
    }
    return "\n".join([found.run, *(f"  {name:12}{text}" for name, text in lines.items() if text)])


def wording(hours: float) -> str:
    """Return a time in the unit that suits it."""
    if hours < 1 / 60:
        return "under a minute"
    if hours < 1:
        return f"about {60 * hours:.0f} minutes"
    return f"about {hours:.1f} hours" if hours < 48 else f"about {hours / 24:.0f} days"
