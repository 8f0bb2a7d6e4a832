"""The command line: one verb a job, each a thin layer over the engine."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ser_engine.analyzer import Analyzer
from ser_engine.data.corpora.base import AUDIO_SUFFIXES
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.errors import SerError
from ser_engine.evaluation.record import RunRecord
from ser_engine.labels import LABEL_SETS
from ser_engine.models.registry import default_model
from ser_engine.settings import Settings
from ser_engine.types import Analysis

# Beside the suffixes of corpora: what people have on their telephones.
SUFFIXES = AUDIO_SUFFIXES | {".mp4", ".oga", ".aac", ".aiff", ".aif"}
BAD_INPUT = 2
MODEL = "name of a folder in models/, a path, or hf:OWNER/NAME[@REVISION] of the Hugging Face hub"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 when all went well, 2 when some input was bad (one line each on standard error)."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return options.verb(options, Settings.from_env())
    except SerError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Stopped; what was finished is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ser_engine", description="Speech emotion recognition.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    analyze = verbs.add_parser("analyze", help="score recordings; a question mark in the table: not sure")
    analyze.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER")
    analyze.add_argument("--json", action="store_true", help="one JSON object per file and line")
    analyze.add_argument("--model", help=MODEL)
    analyze.add_argument("--no-transcript", action="store_true", help="do not transcribe the words")
    analyze.set_defaults(verb=_analyze)

    live = verbs.add_parser("live", help="play a recording to a live session and print what it says meanwhile")
    live.add_argument("path", type=Path, metavar="FILE")
    live.add_argument("--realtime", action="store_true", help="at the pace at which it was spoken")
    live.add_argument("--window", type=float, default=3.0, metavar="SECONDS", help="2 as in paper-3, or 3 (default)")
    live.add_argument("--hop", type=float, default=0.5, metavar="SECONDS", help="to the next window (default: 0.5)")
    live.add_argument("--gate", choices=("speech", "rms"), default="speech", help="rms: paper-3's, at 0.01")
    live.add_argument("--groups", action="store_true", help="islam's four groups in place of all emotions")
    live.add_argument("--json", action="store_true", help="one JSON object per update and line")
    live.add_argument("--model", help=MODEL)
    live.set_defaults(verb=_live)

    train = verbs.add_parser("train", help="train and measure what a TOML describes")
    train.add_argument("config", type=Path)
    train.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    train.add_argument("--protocol", default="", help="one of the configuration's protocols (default: all, in turn)")
    train.add_argument("--results", type=Path, default=Settings().results)
    train.set_defaults(verb=_train)

    trial = verbs.add_parser("trial", help="test some folds of a TOML with entries changed, into trials.jsonl")
    trial.add_argument("config", type=Path)
    trial.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="entries, as TOML has them"
    )
    trial.add_argument("--folds", type=int, nargs="+", default=[1], help="which are tested (default: 1)")
    trial.add_argument("--note", default="", help="why it is tried")
    trial.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    trial.add_argument("--results", type=Path, default=Settings().results)
    trial.set_defaults(verb=_trial)

    evaluate = verbs.add_parser("evaluate", help="measure a finished model on corpora, or a run's figures again")
    evaluate.add_argument("model", metavar="MODEL", help=f"{MODEL}; or a run in results/ that kept its predictions")
    evaluate.add_argument("--corpora", nargs="+", default=(), help="or manifests (default: every corpus that is there)")
    evaluate.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    evaluate.add_argument(
        "--protocol", default="as-is", help="whose test clips count (default: all clips, as they are)"
    )
    evaluate.add_argument("--labels", choices=LABEL_SETS, default="eight", help="label set of the clips")
    evaluate.add_argument("--unseen", action="store_true", help="you know that the model has heard none of the voices")
    evaluate.add_argument("--words", action="store_true", help="transcribe, for models that read the words, too")
    evaluate.add_argument(
        "--conversation",
        nargs=2,
        type=Path,
        metavar=("AUDIO", "CSV"),
        help="measure a live session on a recording with turns (start, end, emotion) in place of corpora",
    )
    evaluate.add_argument("--window", type=float, default=2.0, help="seconds, of a conversation's live session")
    evaluate.add_argument("--gate", choices=("speech", "rms"), default="speech", help="of a conversation's session")
    evaluate.add_argument("--name", default="", help="of the run's folder in the results")
    evaluate.add_argument("--workers", type=int, default=0, help="threads that score clips (default: one a core)")
    evaluate.add_argument("--results", type=Path, default=Settings().results)
    evaluate.set_defaults(verb=_evaluate)

    conversation = verbs.add_parser("conversation", help="build a labelled conversation from clips of unseen speakers")
    conversation.add_argument("output", type=Path, metavar="OUT.wav", help="outside of the project; OUT.csv beside it")
    source = conversation.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpora", nargs="+", help="whose speakers talk, or manifests")
    source.add_argument("--config", type=Path, help="a TOML: speakers of one of its folds talk")
    conversation.add_argument("--fold", type=int, default=1, help="which; its model is trained and kept (default: 1)")
    conversation.add_argument("--seconds", type=float, default=142.0, help="at least (default: paper-3's 142)")
    conversation.add_argument("--voices", type=int, default=2)
    conversation.add_argument("--seed", type=int, default=0)
    conversation.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    conversation.set_defaults(verb=_conversation)

    describe = verbs.add_parser("describe", help="count and measure the corpora for the results page")
    describe.add_argument("corpora", nargs="*", metavar="CORPUS", help="default: every corpus that is there")
    describe.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    describe.add_argument("--clip", type=Path, help="a recording to show the augmentations on")
    describe.add_argument("--results", type=Path, help="where corpora.json goes (default: SER_RESULTS)")
    describe.set_defaults(verb=_describe)

    corpus = verbs.add_parser("corpus", help="list known corpora, check those that are here, write a manifest")
    _corpus_actions(corpus)

    audit = verbs.add_parser(
        "audit",
        help="find what a split gives away",
        description="Find speakers, sentences, identical and augmented twins that training and test share, and what "
        "gives a corpus away. Exits with 0 when nothing leaks, 1 when something does, 2 when the table is bad.",
    )
    audit.add_argument("table", type=Path, metavar="SPLIT.csv|MANIFEST|RUN", help="RUN: a folder of results/")
    audit.add_argument("--corpus", choices=CORPORA, help="whose file names these are (default: found out)")
    audit.add_argument("--root", type=Path, help="folder of the audio, to compare bytes and sample rates, too")
    audit.add_argument("--data", type=Path, help="folder of a run's corpora (default: SER_DATA)")
    audit.add_argument("--json", action="store_true", help="one JSON object")
    audit.set_defaults(verb=_audit)

    whisper = verbs.add_parser("bundle-whisper", help="make models/whisper-base from official weights, and measure it")
    whisper.add_argument("source", nargs="+", type=Path, help="base.pt, or a CTranslate2 folder or file, or its parts")
    whisper.add_argument("--data", type=Path, help="folder of corpora (default: SER_DATA)")
    whisper.add_argument("--clips", type=int, default=500, help="how many clips the word error rate is measured on")
    whisper.add_argument("--results", type=Path, default=Settings().results)
    whisper.set_defaults(verb=_bundle_whisper)
    return parser


def _corpus_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="list|check|manifest")
    listing = actions.add_parser("list", help="corpora that have a reader, and the label sets")
    listing.set_defaults(verb=_corpus_list)
    for name, verb, what in (
        ("check", _corpus_check, "compare folders with what was published, and listen to every clip"),
        ("manifest", _corpus_manifest, "write one line a clip, with length, sample rate and sha256"),
    ):
        action = actions.add_parser(name, help=what)
        root = "a corpus's folder, a folder of several, a manifest, or NAME=ROOT"
        action.add_argument("roots", nargs="+", metavar="ROOT", help=root)
        action.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
        action.set_defaults(verb=verb)
        if name == "check":
            action.add_argument("--labels", choices=LABEL_SETS, default="eight", help="label set of the tables")
        else:
            action.add_argument("-o", "--output", type=Path, required=True, metavar="clips.jsonl")


def _analyze(options: argparse.Namespace, settings: Settings) -> int:
    """Score every file; bad ones are told on standard error, the others are answered all the same."""
    if options.model:
        settings = replace(settings, model=options.model)
    settings = replace(settings, transcribe=settings.transcribe and not options.no_transcript)
    analyzer = Analyzer(settings, on_download=DownloadBar())
    files = list(_files(options.paths))
    if not files:
        print("There is no audio file in what was given.", file=sys.stderr)
        return BAD_INPUT
    default_model(settings)  # a model that is not there is told once, before any work
    bad = 0
    if not options.json:
        print(f"{'file':40} {'emotion':10} {'p':>5}  {'s':>6}  words")
    bar = tqdm(files, unit="file", disable=len(files) < 3 or not sys.stderr.isatty())
    for file in bar:
        try:
            analysis = analyzer.analyze(file, name=str(file))
        except SerError as error:
            bad += 1
            tqdm.write(f"{file}: {error}", file=sys.stderr)
            continue
        with tqdm.external_write_mode():
            print(json.dumps(analysis.to_dict(), ensure_ascii=False) if options.json else _row(analysis), flush=True)
    return BAD_INPUT if bad else 0


class DownloadBar:
    """A bar in the terminal for as long as weights are being fetched."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show how many bytes of how many (0: unknown) are there."""
        if self._bar is None:
            self._bar = tqdm(desc="fetching weights", total=total or None, unit="B", unit_scale=True, unit_divisor=1024)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    """Yield the files that were named, and the audio files in the folders that were named."""
    for path in paths:
        if path.is_dir():
            found = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            yield from sorted(file for file in found if not file.is_dir())
        else:
            yield path


def _row(analysis: Analysis) -> str:
    label, probability = analysis.scores.ranked()[0]
    if analysis.sure is False:
        label += "?"
    name = analysis.file if len(analysis.file) <= 40 else "…" + analysis.file[-39:]
    words = analysis.transcript.text if analysis.transcript else ""
    return f"{name:40} {label:10} {probability:5.2f}  {analysis.quality.duration_s:6.1f}  {words}"


def _live(options: argparse.Namespace, settings: Settings) -> int:
    """Print an update for each window of a recording, as a live session gives them."""
    from ser_engine.audio import decode as audio
    from ser_engine.live.player import format_update, play_recording
    from ser_engine.live.session import LiveSession

    if options.model:
        settings = replace(settings, model=options.model)
    recording = audio.load_audio(options.path, settings)
    analyzer = Analyzer(replace(settings, transcribe=False), on_download=DownloadBar())
    session = LiveSession(analyzer, window_s=options.window, hop_s=options.hop, gate=options.gate)
    analyzer.warm_up()  # before the clock runs
    for update in play_recording(recording, session, options.realtime):
        told = update.grouped() if options.groups else update
        print(json.dumps(told.to_dict(), ensure_ascii=False) if options.json else format_update(told), flush=True)
    return 0


def _train(options: argparse.Namespace, settings: Settings) -> int:
    """Train and measure under every protocol of a configuration, or one, and print the figures."""
    from ser_engine.training.config import read_protocols
    from ser_engine.training.runner import run_experiment

    protocols = [options.protocol] if options.protocol else read_protocols(options.config)
    for protocol in protocols:
        record = run_experiment(options.config, protocol, settings, options.data or settings.data, options.results)
        _print_record(record, "metrics", "interval", "by_corpus", "external", "no_speech")
    return 0


def _print_record(record: RunRecord, *names: str) -> None:
    """Print some entries of a record as JSON."""
    entries = record.to_dict()
    print(json.dumps({name: entries[name] for name in ("id", *names) if name in entries}, indent=2, ensure_ascii=False))


def _trial(options: argparse.Namespace, settings: Settings) -> int:
    """Try a change on some folds, and print its figures."""
    from ser_engine.training.trial import run_trial

    data, folds = options.data or settings.data, [str(fold) for fold in options.folds]
    line = run_trial(options.config, options.set, folds, settings, data, options.results, note=options.note)
    print(json.dumps(line, indent=2))
    return 0


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    """Measure a finished model, or a run's figures again, and print the figures."""
    if options.conversation:
        return _evaluate_conversation(options, settings)
    from ser_engine.evaluation.evaluate_model import Plan, evaluate_model
    from ser_engine.evaluation.predictions import FILE

    if (options.results / options.model / FILE).exists():
        return _evaluate_run(options.results, options.model)

    plan = Plan(
        model=options.model,
        corpora=tuple(options.corpora),
        protocol=options.protocol,
        label_set=options.labels,
        unseen=options.unseen,
        words=options.words,
        name=options.name,
    )
    record = evaluate_model(plan, settings, options.data or settings.data, options.results, options.workers)
    _print_record(
        record, "model", "protocol", "note", "metrics", "interval", "by_corpus", "dropped", "no_speech", "details"
    )
    return 0


def _evaluate_run(results: Path, id: str) -> int:
    """Compute a run's figures again from its predictions; return 1 if its record has others."""
    from ser_engine.evaluation.evaluate import recompute

    measured, differing = recompute(results, id)
    shown = ("metrics", "interval", "by_corpus", "degradations", "no_speech")
    print(json.dumps({name: measured[name] for name in shown if name in measured}, indent=2, ensure_ascii=False))
    if differing:
        print(f"{results / id / 'run.json'} has other figures: {', '.join(differing)}.", file=sys.stderr)
        return 1
    return 0


def _evaluate_conversation(options: argparse.Namespace, settings: Settings) -> int:
    """Measure a live session on a labeled conversation, and print the figures."""
    from ser_engine.evaluation.live import Plan, evaluate_conversation

    recording, turns = options.conversation
    plan = Plan(
        options.model, recording, turns, options.window, gate=options.gate, unseen=options.unseen, name=options.name
    )
    record = evaluate_conversation(plan, settings, options.results)
    details = {name: record.details[name] for name in ("segments", "silent", "response_ms")}
    for name in ("groups", "emotions"):
        if figures := record.details[name]:
            details[name] = {key: figures[key] for key in ("tested", "unanswered", "metrics", "left_out")}
    print(json.dumps({"id": record.id, "model": record.model, "note": record.note, **details}, indent=2))
    return 0


def _conversation(options: argparse.Namespace, settings: Settings) -> int:
    """Build a labelled conversation, and say how it is measured."""
    from ser_engine.data import conversation
    from ser_engine.data.corpora import registry

    data, model = options.data or settings.data, default_model(settings).name
    if options.config:
        from ser_engine.training.fold_model import train_fold_model

        folder, utterances = train_fold_model(options.config, str(options.fold), settings, data)
        model = str(folder)
    else:
        utterances = [one for name in options.corpora for one in registry.read(name, data)]
    samples, turns = conversation.build(utterances, options.seconds, options.voices, options.seed, settings)
    labels = conversation.write(options.output, samples, turns, settings)
    print(f"{len(turns)} clips of {', '.join(sorted({turn.speaker for turn in turns}))}, labelled in {labels}")
    print(f"python -m ser_engine evaluate {model} --conversation {options.output} {labels}")
    return 0


def _describe(options: argparse.Namespace, settings: Settings) -> int:
    """Write what the corpora hold, and what augmentation does to a clip, into a file for the results page."""
    from ser_engine.data.describe import describe, write

    found = describe(options.data or settings.data, settings, options.clip, options.corpora)
    print(f"{'corpus':10} {'clips':>6} {'voices':>6} {'hours':>6}")
    for name, corpus in found["corpora"].items():
        print(f"{name:10} {corpus['clips']:6} {corpus['speakers']:6} {corpus['hours']:6.2f}")
    print(f"{found['unreadable']} unreadable; written: {write(found, options.results or settings.results)}")
    return 0


def _corpus_list(options: argparse.Namespace, settings: Settings) -> int:
    """Print what there are readers for."""
    from ser_engine.data.corpora.tables import known_corpora

    print(known_corpora())
    return 0


def _corpus_check(options: argparse.Namespace, settings: Settings) -> int:
    """Print what was found against what was published; bad where something cannot be read."""
    from ser_engine.data import check
    from ser_engine.data.corpora import tables

    result = check.check(check.sources(options.roots), settings, LABEL_SETS[options.labels], options.workers)
    for line in tables.checked(result):
        print(line)
    return BAD_INPUT if result.failed else 0


def _corpus_manifest(options: argparse.Namespace, settings: Settings) -> int:
    """Write a manifest of everything that can be heard, and tell what cannot."""
    from ser_engine.data import check
    from ser_engine.data.corpora import tables

    everything = check.write_manifest(check.sources(options.roots), options.output, settings, options.workers)
    for found in everything:
        print(f"{found.source.title}: {found.clips} clips, {len(found.missing)} missing")
        for line in tables.problems(found):
            print(f"  {line}", file=sys.stderr)
    return BAD_INPUT if any(found.failed for found in everything) else 0


def _audit(options: argparse.Namespace, settings: Settings) -> int:
    """Say what a split gives away; 1 when training and test share what they must not."""
    from ser_engine.data import audit
    from ser_engine.data.audit_rows import read_table

    rows = read_table(options.table, options.corpus or "", options.root)
    findings = audit.audit(tqdm(rows, unit="clip", leave=False, disable=None))
    print(json.dumps(findings.to_dict(), ensure_ascii=False, indent=2) if options.json else audit.table(findings))
    return 1 if findings.leaks else 0


def _bundle_whisper(options: argparse.Namespace, settings: Settings) -> int:
    """Store Whisper-base in 8 bits, measure what that costs, and write its card."""
    from ser_engine.training.whisper_base import bundle

    record = bundle(options.source, options.data or settings.data, settings, options.clips, options.results)
    _print_record(record, "metrics", "by_corpus", "size_mb")
    return 0
