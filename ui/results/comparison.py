"""Runs set side by side: the table, its CSV, what a protocol is worth, and the sentences that sum it up."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from ui.results.run_files import Published, Results, Run, number
from ui.wording import CORPORA, seconds

MODELS = {
    "knn": "k-nearest neighbours",
    "knn-grid-search": "k-nearest neighbours, searched",
    "mlp": "MLP",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "logistic-regression": "Logistic regression",
    "random-forest": "Random forest",
    "naive-bayes": "Gaussian naive Bayes",
    "decision-tree": "Decision tree",
    "svm-rbf": "SVM, RBF kernel",
    "lda": "Linear discriminant",
    "rda": "Regularised discriminant",
    "majority": "Majority class",
    "whisper-base-statistics": "Whisper-base statistics",
    "whisper-base-tuned": "Whisper-base, tuned",
    "voice-and-words": "Voice and words",
}
FEATURES = {f"acoustic{count}": f"{count} acoustic features" for count in (94, 173, 371)}
NEW, HEARD, LEAKED = "● new", "○ heard before", "✕ copies leaked"
"""Which voices a run was tested on; the signs are those of the charts."""
PERCENT = ("UA", "WA", "UA_plus_WA", "macro_f1", "published_UA", "published_WA")
"""Columns of the table that are figures in per cent."""

Row = dict[str, str | float | None]


@dataclass(frozen=True)
class Gap:
    """One system, measured on voices that it had not heard and on voices that it had; all else is the same.

    `heard` are the runs under random protocols, the best first; `leaked` those that copy a leak on purpose.
    """

    new: Run
    heard: tuple[Run, ...]
    leaked: tuple[Run, ...] = ()

    def points(self, metric: str = "UA") -> float | None:
        """Return how many points higher the best random protocol is; None where one of the two lacks the metric."""
        found = [run.metrics[metric] for run in self.heard if metric in run.metrics]
        return max(found) - self.new.metrics[metric] if found and metric in self.new.metrics else None


def gaps(runs: Sequence[Run]) -> list[Gap]:
    """Return the pairs among the runs, the best system on new voices first.

    A pair has the same model, features, corpora, emotions and seed, and another protocol. Where a system was measured
    on new voices in several ways, each way is a pair of its own.
    """
    families: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in runs:
        families[*run.kinship, run.seed].append(run)
    found = []
    for family in families.values():
        heard = [run for run in family if not run.speaker_independent and not run.leaky]
        leaked = tuple(run for run in family if run.leaky)
        heard.sort(key=lambda run: -run.metrics["UA"])
        found += [Gap(run, tuple(heard), leaked) for run in family if run.speaker_independent and heard]
    return sorted(found, key=lambda gap: -gap.new.metrics["UA"])


def row(run: Run, published: Mapping[str, Published]) -> Row:
    """Return one row of the table, with what a paper reports beside it."""
    paper = published.get(run.published)
    figures = paper.metrics if paper else {}
    return {
        "model": model_name(run),
        "voices": voices(run),
        "UA": run.metrics.get("UA"),
        "interval": interval(run),
        "WA": run.metrics.get("WA"),
        "UA_plus_WA": run.metrics.get("UA_plus_WA"),
        "macro_f1": run.metrics.get("macro_f1"),
        "protocol": run.protocol,
        "features": features_name(run),
        "corpora": corpora_names(run.corpora),
        "published_UA": figures.get("UA"),
        "published_WA": figures.get("WA"),
        "published_protocol": paper.protocol if paper else None,
        "published_in": source(paper) if paper else None,
        "size_mb": run.size_mb,
        "seconds": run.seconds,
        "run": run.id,
    }


def to_csv(runs: Sequence[Run], published: Mapping[str, Published]) -> str:
    """Return the whole table as CSV, one row a run, in the page's order; figures as they were stored."""
    text = io.StringIO()
    rows = [row(run, published) | {"speaker_independent": "yes" if run.speaker_independent else "no"} for run in runs]
    table = csv.DictWriter(text, [*rows[0]] if rows else ["run"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def on_new_voices(runs: Sequence[Run]) -> list[Run]:
    """Return one run of each system that was tested on new voices, the lowest seed's; the others repeat it."""
    new = [run for run in runs if run.speaker_independent]
    first: dict[tuple[object, ...], int] = {}
    for run in new:
        system = (*run.kinship, run.protocol)
        first[system] = min(run.seed, first.get(system, run.seed))
    return [run for run in new if run.seed == first[*run.kinship, run.protocol]]


def best(runs: Sequence[Run]) -> Run | None:
    """Return the best run on new voices among those on the most corpora; easy corpora alone win nothing."""
    new = on_new_voices(runs)
    return max(new, key=lambda run: (len(run.corpora), run.metrics["UA"]), default=None)


def headline(results: Results) -> str:
    """Return the finding in one line, for the top of the page."""
    found = best(results.runs)
    if found is not None:
        return f"{found.metrics['UA']:.0f} in 100, on voices it had never heard"
    return "No run on new voices yet" if results.runs else "Nothing has been measured yet"


def explanation(results: Results) -> str:
    """Return the sentences under the headline: whose figure it is, and how much the usual protocol flatters."""
    found = best(results.runs)
    if not results.runs:
        return (
            "A run appears here as soon as it has ended: python -m ser_engine train configs/smoke.toml is a short one."
        )
    if found is None:
        return "All runs here were tested on voices that were trained on, too. What they say of a stranger is unknown."
    peers = len(on_new_voices(results.runs))
    spread = f" (95% interval {found.interval[0]:.0f} to {found.interval[1]:.0f})" if found.interval else ""
    first = f"{model_name(found)} on {corpora_names(found.corpora)}{spread}, every emotion counting alike"
    first += f": the best of {peers} systems measured that way." if peers > 1 else "."
    flattered = [points for gap in gaps(results.runs) if (points := gap.points()) is not None]
    if not flattered:
        return first
    points = mean(flattered)
    pairs = f" on average of {len(flattered)} pairs" if len(flattered) > 1 else ""
    return (
        f"{first} Tested on voices from its training, as in most papers, a system here scores "
        f"{abs(points):.0f} points {'more' if points >= 0 else 'less'}{pairs}."
    )


def verdict(gap: Gap, metric: str) -> str:
    """Return one pair in words, for those who do not see the picture."""
    parts = [f"{label(gap.new)}: {written(gap.new, metric)} on new voices"]
    parts += [f"{written(run, metric)} under {run.protocol}" for run in gap.heard]
    parts += [f"{written(run, metric)} where copies leaked" for run in gap.leaked]
    return ", ".join(parts)


def written(run: Run, metric: str) -> str:
    """Return a figure of a run as text."""
    return f"{run.metrics[metric]:.1f}%" if metric in run.metrics else "no figure"


def label(run: Run) -> str:
    """Return what a run is called where several are named: model, features, corpora, emotions."""
    return ", ".join(filter(None, (model_name(run), features_name(run), corpora_names(run.corpora), emotions(run))))


def emotions(run: Run) -> str:
    """Return how many emotions a run tells apart."""
    return f"{len(run.labels)} emotions" if run.labels else ""


def voices(run: Run) -> str:
    """Return which voices a run was tested on, with the charts' sign for it."""
    return LEAKED if run.leaky else NEW if run.speaker_independent else HEARD


def interval(run: Run) -> str | None:
    """Return the 95% interval of UA as text."""
    return f"{run.interval[0]:.1f} – {run.interval[1]:.1f}" if run.interval else None


def model_name(run: Run) -> str:
    """Return a model's name in words, or its id where it has no other; of a run with another seed, with that."""
    name = MODELS.get(run.model, run.model)
    return f"{name}, seed {run.seed}" if run.seed else name


def features_name(run: Run) -> str:
    """Return what the model hears, in words."""
    name, comma, rest = run.features.partition(",")
    return FEATURES.get(name, name) + comma + rest


def corpora_names(ids: Sequence[str]) -> str:
    """Return corpora as people write them: "RAVDESS, CREMA-D and TESS"."""
    names = [CORPORA.get(name, name) for name in ids]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def source(paper: Published) -> str:
    """Return where a published figure stands: "paper-1, table 6"."""
    name = paper.paper.replace("paper-", "paper ")
    numbered = paper.table and paper.table.replace(".", "").isalnum() and " " not in paper.table
    where = f"table {paper.table}" if numbered and "-" not in paper.table else paper.table
    return ", ".join(filter(None, (name, where)))


def facts(run: Run) -> list[tuple[str, str]]:
    """Return a run's figures as (name, value) pairs, those that there are."""
    names = {"UA": "UA", "WA": "WA", "macro_f1": "Macro F1", "weighted_f1": "Weighted F1"}
    found = [(name, f"{run.metrics[key]:.1f}%") for key, name in names.items() if key in run.metrics]
    if run.interval:
        found.insert(1, ("95% interval of UA", f"{run.interval[0]:.1f} to {run.interval[1]:.1f}%"))
    for part, title in (("speech", "UA by sound alone"), ("text", "UA by words alone")):
        if "UA" in run.parts.get(part, {}):
            found.append((title, f"{run.parts[part]['UA']:.1f}%"))
    if run.seconds is not None:
        found.append(("The whole run took", seconds(run.seconds)))
    if run.size_mb is not None:
        found.append(("Size on disk", f"{run.size_mb:.1f} MB"))
    if run.missing_corpora:
        found.append(("Not there", corpora_names(run.missing_corpora)))
    return found


def confusions(run: Run, count: int = 5) -> str:
    """Return the most frequent confusions in words."""
    shares = [
        (cell / sum(cells), meant, heard)
        for meant, cells in zip(run.labels, run.confusion, strict=True)
        for heard, cell in zip(run.labels, cells, strict=True)
        if meant != heard and cell
    ]
    told = [f"{meant} heard as {heard} {share:.0%}" for share, meant, heard in sorted(shares, reverse=True)[:count]]
    return "Most frequent confusions: " + ", ".join(told) if told else "No confusion at all"


def spread(scores: Mapping[str, float], key: str) -> str:
    """Return a figure of an emotion with its deviation over folds, where there is one."""
    if key not in scores:
        return "–"
    return f"{scores[key]:.1f}" + (f" ± {scores[f'{key}_std']:.1f}" if f"{key}_std" in scores else "")


def audit(findings: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return an audit's findings as (severity, sentence) pairs, and what it counted as (name, value) pairs."""
    found = findings.get("findings")
    told = [
        (str(item.get("severity", "note")), _with_examples(item))
        for item in (found if isinstance(found, list) else [])
        if isinstance(item, dict) and item.get("sentence")
    ]
    counted = [
        (name, f"{value:,.0f}")
        for key, name in (("clips", "Clips looked at"), ("tested", "Clips tested"), ("speakers", "Speakers"))
        if (value := number(findings.get(key))) is not None
    ]
    return told, counted


def _with_examples(finding: Mapping[str, Any]) -> str:
    examples = finding.get("examples")
    named = ", ".join(map(str, examples)) if isinstance(examples, list) else ""
    return f"{finding['sentence']} For example: {named}." if named else str(finding["sentence"])
