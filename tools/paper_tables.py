"""The tables of docs/papers.md: all that the five papers report or describe, and what this project makes of it.

Rows come from results/published.toml, configurations and runs; none is without a state.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.evaluation.published import FILE, PublishedFigure, read_published
from ser_engine.evaluation.record import RunRecord, read_record, read_records
from ser_engine.training.config import SPEAKER_INDEPENDENT, config_name, read_entries
from tools.markdown import percent, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PAPERS = ("sharma", "jafarzadeh", "islam", "gomes", "tiwari")
MEASURED, WEIGHTS, CORPUS = "*measured*", "*runs with its weights*", "*needs a corpus we lack*"
BUNDLED = ("whisper-base",)
"""Encoders that come with the repository."""
FETCHED = ("vggish", "yamnet")
"""Features of networks whose weights do not."""
MENTIONED = 3
"""Configurations of a row that are named; others are counted."""


@dataclass(frozen=True)
class Config:
    """A configuration: its name, "<source>/<system>", its entries, and its finished runs by protocol."""

    name: str
    entries: Mapping[str, Any]
    runs: Mapping[str, RunRecord]

    @property
    def link(self) -> str:
        """The file, as a link from a document."""
        return f"[{self.name.rpartition('/')[2]}](../configs/{self.name}.toml)"

    @property
    def own(self) -> RunRecord | None:
        """The run under the paper's protocol, the first that is not speaker-independent."""
        names = (name for name in self.entries["protocols"] if name != SPEAKER_INDEPENDENT)
        return next((self.runs[name] for name in names if name in self.runs), None)

    @property
    def unseen(self) -> RunRecord | None:
        """The run on unseen speakers."""
        return self.runs.get(SPEAKER_INDEPENDENT)

    @property
    def needs_weights(self) -> bool:
        """Whether it starts from weights that are not in the repository."""
        encoders = {self.entries.get(key, "") for key in ("speech", "text", "imagenet")} - {"", *BUNDLED}
        return bool(encoders) or self.entries.get("features") in FETCHED

    @property
    def lacking(self) -> list[str]:
        """The titles of required corpora without which no run here was made."""
        return [CORPORA[name].title for name in self.entries["corpora"] if name not in available()]


def paper(key: str) -> str:
    """Return the figures of a paper and everything else that it describes, with its state here."""
    header = ["in the paper", "what", "configuration", "there", "here", "here, unseen speakers", "state"]
    return table(header, [*_figures(key), *_items(key)])


@cache
def configs() -> tuple[Config, ...]:
    """Return every configuration of the papers."""
    result = []
    for path in sorted(path for key in PAPERS for path in (ROOT / "configs" / key).glob("*.toml")):
        name, entries = config_name(path), read_entries(path)
        ids = {protocol: f"{name}/{protocol}" for protocol in entries["protocols"]}
        runs = {protocol: read_record(RESULTS, id) for protocol, id in ids.items() if (RESULTS / id).is_dir()}
        result.append(Config(name, entries, runs))
    return tuple(sorted(result, key=lambda config: (len(config.name), config.name)))  # a variant's name is longer


@cache
def available() -> frozenset[str]:
    """Return the corpora that runs here were trained or tested on."""
    records, _ = read_records(RESULTS)
    return frozenset(corpus for record in records for corpus in (*record.corpora, *record.external))


def _figures(key: str) -> Iterator[list[str]]:
    for figure in read_published(RESULTS).values():
        if figure.paper == key:
            chosen = [
                config for config in configs() if config.entries.get("published") == (figure.part_of or figure.id)
            ]
            place = figure.table if figure.table.startswith("figure") else f"table {figure.table}"
            measured = [_first(chosen, which, figure) for which in ("own", "unseen")]
            what = f"{figure.system}{_corpora(figure, key)}"
            state = _state(chosen, figure.differs or "not repeated") + _note(chosen)
            yield [place, what, _links(chosen), _numbers(figure.metrics, figure.per_class), *measured, state]


def _items(key: str) -> Iterator[list[str]]:
    content = tomllib.loads((RESULTS / FILE).read_text(encoding="utf-8"))
    for item in content["item"]:
        if item["paper"] == key:
            chosen = [
                config for config in configs() if any(fnmatch(config.name, pattern) for pattern in item["configs"])
            ]
            if item["configs"] and not chosen:
                raise SystemExit(f"{FILE}: no configuration is named {', '.join(item['configs'])}.")
            state = _state(chosen, item.get("differs", ""))
            if chosen and item.get("differs"):
                state += f"; *differs*: {item['differs']}"
            yield [item["place"], item["what"], _links(chosen), "–", "–", "–", state]


def _corpora(figure: PublishedFigure, key: str) -> str:
    """Return the corpora of a figure, for the papers that have several figures of one system."""
    if key not in ("islam", "jafarzadeh") or not figure.corpora:
        return ""
    return f", {', '.join(CORPORA[corpus].title for corpus in figure.corpora)}"


def _links(chosen: Sequence[Config]) -> str:
    links = [config.link for config in chosen[:MENTIONED]]
    if more := len(chosen) - MENTIONED:
        links += [f"{more} more"] if more > 0 else []
    return ", ".join(links) or "–"


def _state(chosen: Sequence[Config], differs: str) -> str:
    """Return the best state among configurations; how the project differs where there is none."""
    if not chosen:
        return f"*differs*: {differs}"
    if runs := [run for config in chosen for run in config.runs.values()]:
        missing = sorted({CORPORA[corpus].title for run in runs for corpus in run.missing_corpora})
        return MEASURED + (f", without {' and '.join(missing)}" if missing else "")
    here = [config for config in chosen if not config.lacking]
    if not here:
        return f"{CORPUS}: {' and '.join(sorted({name for config in chosen for name in config.lacking}))}"
    if all(config.needs_weights for config in here):
        return WEIGHTS
    return f"runs, not measured yet: {here[0].entries.get('hardware', 'any computer')}"


def _note(chosen: Sequence[Config]) -> str:
    """Return the note that all configurations of a row share, as a difference."""
    notes = {str(config.entries.get("note", "")) for config in chosen}
    note = notes.pop() if len(notes) == 1 else ""
    return f"; *differs*: {note.rstrip('.')}" if note else ""


def _first(chosen: Sequence[Config], which: str, figure: PublishedFigure) -> str:
    """Return the figures of the first configuration with such a run; of one corpus, where the figure is of one."""
    for config in chosen:
        run: RunRecord | None = getattr(config, which)
        if run is None:
            continue
        if figure.part_of:
            return _numbers(run.by_corpus.get(figure.corpora[0], {}), {})
        own = {label: run.per_class[label] for label in figure.per_class if label in run.per_class}
        return _numbers(run.metrics if "WA" in figure.metrics else {}, {} if "WA" in figure.metrics else own)
    return "–"


def _numbers(metrics: Mapping[str, Any], per_class: Mapping[str, Mapping[str, Any]]) -> str:
    """Return "WA / UA", or the recall of each emotion where a paper has no more."""
    if "WA" in metrics:
        return f"{percent(metrics['WA'])} / {percent(metrics.get('UA'))}"
    return ", ".join(f"{label} {percent(row['recall'])}" for label, row in per_class.items()) or "–"
