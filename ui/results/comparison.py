"""Runs compared: the table, its CSV, the effect of the protocol, and the sentences that sum it up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import get_args

import pandas as pd

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.published import PublishedFigure, read_published
from ser_engine.evaluation.record import Kind, RunRecord, read_records
from ui.wording import CORPORA, PAPERS, seconds

MODELS = {
    "knn": "k-nearest neighbors",
    "knn-grid-search": "k-nearest neighbors, grid search",
    "mlp": "MLP",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "logistic-regression": "Logistic regression",
    "random-forest": "Random forest",
    "naive-bayes": "Gaussian naive Bayes",
    "decision-tree": "Decision tree",
    "svm-rbf": "SVM, RBF kernel",
    "lda": "Linear discriminant analysis",
    "rda": "Regularized discriminant analysis",
    "majority": "Majority class",
    "cnn1d": "1-D CNN",
    "whisper": "Whisper, fine-tuned",
    "minilm": "MiniLM, fine-tuned",
    "whisper-minilm": "Whisper and MiniLM, fine-tuned",
    "whisper-base-statistics": "Frozen Whisper-base, neural network ensemble",
    "whisper-base-tuned": "Fine-tuned Whisper-base, neural network ensemble",
    "whisper-base-heads": "Frozen Whisper-base, heads for everyday voices",
    "voice-open": "Heads on Whisper-base, for commercial use",
    "voice-and-words": "Audio and text, neural network ensemble",
}
FEATURES = {f"acoustic{count}": f"{count} acoustic features" for count in (94, 173, 371)}
UNSEEN, SEEN, LEAKED = "● unseen", "○ seen", "✕ leaked copies"
"""Test speakers of a run; the signs are those of the charts."""
COMPONENTS = {"audio": "audio", "text": "text", "frozen": "frozen encoder", "tuned": "fine-tuned encoder"}
METRIC_TITLES = {"UA": "UA", "WA": "WA", "macro_f1": "Macro F1", "weighted_f1": "Weighted F1"}

Row = dict[str, str | float | None]


@dataclass(frozen=True)
class Results:
    """A results folder: records of speech emotion, those on unseen speakers first, of other kinds, and problems."""

    runs: tuple[RunRecord, ...] = ()
    others: Mapping[Kind, tuple[RunRecord, ...]] = field(default_factory=dict)
    published: Mapping[str, PublishedFigure] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def paper(self, run: RunRecord) -> PublishedFigure | None:
        """Return the published figure that a run repeats."""
        return next((self.published[id] for id in run.published if id in self.published), None)


def read_results(folder: Path) -> Results:
    """Return the contents of a results folder; `problems` has a sentence for everything that cannot be read."""
    if not folder.is_dir():
        return Results(problems=(f"There is no results folder {folder}; SER_RESULTS names it.",))
    records, problems = read_records(folder)
    published: Mapping[str, PublishedFigure] = {}
    try:
        published = read_published(folder)
    except InvalidRecord as error:
        problems.append(str(error))
    problems += [
        f"{run.id}: published.toml has no figure “{id}”."
        for run in records
        for id in run.published
        if published and id not in published
    ]
    emotion, *others = ((kind, tuple(run for run in records if run.kind == kind)) for kind in get_args(Kind))
    return Results(tuple(sorted(emotion[1], key=_rank)), dict(others), published, tuple(problems))


def _rank(run: RunRecord) -> tuple[bool, bool, float, str]:
    """Order runs: those on unseen speakers first, leaky ones last, the best on top."""
    return not run.speaker_independent, run.leaky, -run.metrics["UA"], run.id


def _system(run: RunRecord) -> tuple[object, ...]:
    """Return what runs share that differ only in protocol and seed."""
    return run.model, run.features, tuple(sorted(run.corpora)), tuple(sorted(run.labels))


@dataclass(frozen=True)
class Gap:
    """One system, measured on unseen and on seen speakers, with everything else the same.

    `seen` are the runs under random protocols, the best first; `leaked` those under leaky protocols.
    """

    unseen: RunRecord
    seen: tuple[RunRecord, ...]
    leaked: tuple[RunRecord, ...] = ()

    def points(self, metric: str = "UA") -> float | None:
        """Return how many points higher the best random protocol is; None where one of the two lacks the metric."""
        values = [run.metrics[metric] for run in self.seen if metric in run.metrics]
        return max(values) - self.unseen.metrics[metric] if values and metric in self.unseen.metrics else None


def gaps(runs: Sequence[RunRecord]) -> list[Gap]:
    """Return the pairs among the runs, the best system on unseen speakers first.

    A pair has the same model, features, corpora, emotions and seed, and another protocol. A system that was measured
    on unseen speakers in several ways has a pair for each.
    """
    families: dict[tuple[object, ...], list[RunRecord]] = defaultdict(list)
    for run in runs:
        families[*_system(run), run.seed].append(run)
    pairs = []
    for family in families.values():
        seen = [run for run in family if not run.speaker_independent and not run.leaky]
        leaked = tuple(run for run in family if run.leaky)
        seen.sort(key=lambda run: -run.metrics["UA"])
        pairs += [Gap(run, tuple(seen), leaked) for run in family if run.speaker_independent and seen]
    return sorted(pairs, key=lambda gap: -gap.unseen.metrics["UA"])


def row(run: RunRecord, paper: PublishedFigure | None) -> Row:
    """Return one row of the table, with the figures of a paper."""
    reported = paper.metrics if paper else {}
    return {
        "model": model_name(run),
        "speakers": speakers(run),
        "UA": run.metrics.get("UA"),
        "interval": interval(run),
        "WA": run.metrics.get("WA"),
        "UA_plus_WA": run.metrics.get("UA_plus_WA"),
        "macro_f1": run.metrics.get("macro_f1"),
        "protocol": protocol(run),
        "features": features_name(run),
        "corpora": corpora_names(run.corpora),
        "published_UA": reported.get("UA"),
        "published_WA": reported.get("WA"),
        "published_protocol": paper.protocol if paper else None,
        "published_in": source(paper) if paper else None,
        "size_mb": run.size_mb,
        "seconds": run.seconds,
        "run": run.id,
    }


def to_csv(results: Results) -> str:
    """Return the whole table as CSV, one row per run, in the order of the page; figures as they were stored."""
    rows = [
        row(run, results.paper(run)) | {"speaker_independent": "yes" if run.speaker_independent else "no"}
        for run in results.runs
    ]
    return str(pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n"))


def on_unseen_speakers(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return one run, that with the lowest seed, of each system that was tested on unseen speakers."""
    unseen = [run for run in runs if run.speaker_independent]
    highest_first = sorted(unseen, key=lambda run: -run.seed)
    lowest = {(*_system(run), run.protocol): run.seed for run in highest_first}
    return [run for run in unseen if run.seed == lowest[*_system(run), run.protocol]]


def best(runs: Sequence[RunRecord]) -> RunRecord | None:
    """Return the best run on unseen speakers among those of the most emotions, and then on the most corpora.

    Easy corpora alone win nothing, and neither do a few emotions.
    """
    unseen = on_unseen_speakers(runs)
    return max(unseen, key=lambda run: (len(run.labels), len(run.corpora), run.metrics["UA"]), default=None)


def headline(results: Results) -> str:
    """Return the main result in one line."""
    top = best(results.runs)
    if top is not None:
        return f"{top.metrics['UA']:.0f}% accuracy on unseen speakers"
    return "No results on unseen speakers yet" if results.runs else "No results yet"


def explanation(results: Results) -> str:
    """Return the sentences under the headline: the system, and how much higher it is on seen speakers."""
    top = best(results.runs)
    if not results.runs:
        return "A run appears here when it has finished, for example: ser train configs/ours/smoke.toml"
    if top is None:
        return "All runs here were tested on speakers from their training data, so accuracy on others is unknown."
    peers = sum(len(run.labels) == len(top.labels) for run in on_unseen_speakers(results.runs))
    spread = f", with a 95% interval of {top.interval[0]:.0f}% to {top.interval[1]:.0f}%" if top.interval else ""
    first = f"{model_name(top)}, tested on {corpora_names(top.corpora)}: mean recall of all emotions{spread}."
    first += f" It is the best of {peers} systems." if peers > 1 else ""
    differences = [points for gap in gaps(results.runs) if (points := gap.points()) is not None]
    if not differences:
        return first
    points = mean(differences)
    pairs = f", on average over {len(differences)} pairs" if len(differences) > 1 else ""
    return (
        f"{first} On speakers from its training data, as in most papers, a system here scores "
        f"{abs(points):.0f} points {'more' if points >= 0 else 'less'}{pairs}."
    )


def gap_text(gap: Gap, metric: str) -> str:
    """Return one pair in words."""
    parts = [f"{label(gap.unseen)}: {written(gap.unseen, metric)} on unseen speakers"]
    parts += [f"{written(run, metric)} under {protocol(run)}" for run in (*gap.seen, *gap.leaked)]
    return ", ".join(parts)


def written(run: RunRecord, metric: str) -> str:
    """Return a figure of a run as text."""
    return f"{run.metrics[metric]:.1f}%" if metric in run.metrics else "no figure"


def label(run: RunRecord) -> str:
    """Return the name of a run among others: model, features, corpora, emotions."""
    return ", ".join(filter(None, (model_name(run), features_name(run), corpora_names(run.corpora), emotions(run))))


def emotions(run: RunRecord) -> str:
    """Return the number of emotions of a run."""
    return f"{len(run.labels)} emotions" if run.labels else ""


def speakers(run: RunRecord) -> str:
    """Return the kind of a run's test speakers, with the sign of the charts."""
    return LEAKED if run.leaky else UNSEEN if run.speaker_independent else SEEN


def protocol(run: RunRecord) -> str:
    """Return a run's protocol and what its training and test data share."""
    return f"{run.protocol} ({run.split})" if run.split else run.protocol


def interval(run: RunRecord) -> str | None:
    """Return the 95% interval as text."""
    return f"{run.interval[0]:.1f} – {run.interval[1]:.1f}" if run.interval else None


def model_name(run: RunRecord) -> str:
    """Return the title of a run's model, or its id, with the seed unless that is 0."""
    name = MODELS.get(run.model, run.model)
    return f"{name}, seed {run.seed}" if run.seed else name


def features_name(run: RunRecord) -> str:
    """Return the title of a run's features: "94 acoustic features, augmentation of Sharma (2023)"."""
    name, *rest = run.features.split(", ")
    for key, title in PAPERS.items():
        rest = [part.replace(f"{key} augmentation", f"augmentation of {title}") for part in rest]
    return ", ".join((FEATURES.get(name, name), *rest))


def corpora_names(ids: Sequence[str]) -> str:
    """Return a list of corpora: "RAVDESS, CREMA-D and TESS"."""
    names = [CORPORA.get(name, name) for name in ids]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def source(paper: PublishedFigure) -> str:
    """Return the citation of a published figure: "Sharma (2023), table 6"."""
    numbered = paper.table.replace(".", "").isalnum() and paper.table[-1:].isdigit()
    where = f"table {paper.table}" if numbered else paper.table
    return ", ".join(filter(None, (PAPERS.get(paper.paper, paper.paper), where)))


def facts(run: RunRecord) -> list[tuple[str, str]]:
    """Return the figures of a run as (name, value) pairs."""
    pairs = [(name, f"{run.metrics[key]:.1f}%") for key, name in METRIC_TITLES.items() if key in run.metrics]
    if run.interval:
        pairs.insert(1, ("95% interval of UA", f"{run.interval[0]:.1f} to {run.interval[1]:.1f}%"))
    for name, figures in run.components.items():
        if "UA" in figures:
            pairs.append((f"UA by {COMPONENTS.get(name, name)} alone", f"{figures['UA']:.1f}%"))
    if run.no_speech:
        pairs.append(("Clips without speech", f"{run.no_speech}, counted as errors"))
    if run.seconds is not None:
        pairs.append(("Duration of the run", seconds(run.seconds)))
    if run.size_mb is not None:
        pairs.append(("Size on disk", f"{run.size_mb:.1f} MB"))
    if run.missing_corpora:
        pairs.append(("Missing corpora", corpora_names(run.missing_corpora)))
    return pairs


def spread(scores: Mapping[str, float], key: str) -> str:
    """Return a figure of an emotion, with its deviation over folds where there is one."""
    if key not in scores:
        return "–"
    return f"{scores[key]:.1f}" + (f" ± {scores[f'{key}_std']:.1f}" if f"{key}_std" in scores else "")
