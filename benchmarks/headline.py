"""The main figures of the bundled models in one file: accuracy, robustness, false alarms, calibration, text and speed.

`python -m benchmarks.headline` writes results/headline.json from the runs of the bundled models; a figure that no run
measured is null. `--reference COMMIT` also times the emotion model against that of an earlier commit, in turns on
the same 3 s of speech.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import recording
from ser_engine.errors import SerError
from ser_engine.evaluation.ordinary import run_id
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.io import write_json
from ser_engine.models.fused import AUDIO, TEXT
from ser_engine.models.registry import find_model
from ser_engine.models.store import MEASURED, read_config
from ser_engine.settings import PROJECT, Settings

OUT = PROJECT / "results" / "headline.json"
OPEN_MODEL = "voice-open"
ROUNDS = 7
# Run in a folder with the code of one commit, on a recording: prints the median milliseconds of the emotion model.
TIMED = """
import sys
from statistics import median
from ser_engine import Analyzer, Settings
analyzer = Analyzer(Settings(transcribe=False, threads=1))
clear = getattr(analyzer.model, "clear_cache", None) or analyzer.model.forget  # its name in earlier commits
times = []
for number in range(25):
    clear()
    times.append(1000 * analyzer.analyze(sys.argv[1]).seconds["classify"])
print(median(times[5:]))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect the figures, time the model if asked, write and print them."""
    parser = argparse.ArgumentParser("python -m benchmarks.headline", description="Collect the main figures.")
    parser.add_argument("--reference", metavar="COMMIT", help="also time the emotion model against this commit's")
    reference = parser.parse_args(arguments).reference
    settings = Settings.from_env()
    figures = collect(settings)
    if reference:
        figures["classify_ratio"] = time_against(reference)
    elif OUT.exists():
        figures["classify_ratio"] = json.loads(OUT.read_text(encoding="utf-8")).get("classify_ratio")
    write_json(OUT, figures)
    print(json.dumps(figures, indent=2))


def collect(settings: Settings) -> dict[str, float | None]:
    """Return the figures of the bundled models that runs have measured; None for the others."""
    parts = read_config(find_model(settings))
    read = partial(_read, settings.results)
    voice = read(_run_of(settings, parts[AUDIO]["id"]))
    text = read(_run_of(settings, parts[TEXT]["id"]))
    talk = read(run_id(parts["id"]))
    commercial = read(_run_of(settings, OPEN_MODEL))
    corpora, external = voice.by_corpus, voice.external
    ordinary = [talk.details[source] for source in ("librispeech", "speechocean") if source in talk.details]
    return {
        "pooled_UA": voice.metrics.get("UA"),
        "pooled_WA": voice.metrics.get("WA"),
        **{f"{name}_UA": corpora.get(name, {}).get("UA") for name in ("ravdess", "cremad", "tess")},
        **{f"{name}_UA": external.get(name, {}).get("UA_among_shared_labels") for name in ("emodb", "emovo", "ased")},
        **{f"lost_{name}": voice.degradations.get(name, {}).get("lost") for name in ("telephone", "babble", "room")},
        "alarm_windows": _mean(ordinary, "alarms"),
        "quiet_windows": _mean(ordinary, "quiet"),
        "ECE_pooled": voice.metrics.get("ECE"),
        **{f"ECE_{name}": external.get(name, {}).get("ECE") for name in ("emodb", "emovo")},
        "goemotions_F1": text.metrics.get("macro_f1"),
        **{f"{name}_F1": text.metrics.get(f"{name}_F1") for name in ("xed", "dailydialog")},
        "open_cremad_UA": commercial.by_corpus.get("cremad", {}).get("UA"),
        "classify_ratio": None,
    }


def time_against(commit: str) -> float:
    """Return the time of this code's emotion model as a multiple of that of a commit, each in a process of its own.

    The two take turns; the ratio is the median of those of `ROUNDS` turns. Raise CalledProcessError for an unknown
    commit.
    """
    with tempfile.TemporaryDirectory() as temporary:
        earlier = Path(temporary) / "earlier"
        subprocess.run(["git", "worktree", "add", "--detach", earlier, commit], cwd=PROJECT, check=True)
        try:
            path = recording(3.0, Path(temporary))
            return round(median(_milliseconds(PROJECT, path) / _milliseconds(earlier, path) for _ in range(ROUNDS)), 3)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", earlier], cwd=PROJECT, check=True)


def _milliseconds(code: Path, path: Path) -> float:
    done = subprocess.run([sys.executable, "-c", TIMED, path], cwd=code, check=True, text=True, capture_output=True)
    return float(done.stdout)


def _read(results: Path, run: str) -> RunRecord:
    """Return the record of a run, an empty one where there is none."""
    try:
        return read_record(results, run)
    except SerError:
        return RunRecord(id=run)


def _run_of(settings: Settings, model: str) -> str:
    """Return the id of the run that a model's card names; nothing where there is none."""
    try:
        card = read_config(settings.models_dir / model)
    except SerError:
        return ""
    return str(card.get(MEASURED, {}).get("run", ""))


def _mean(sources: Sequence[dict[str, Any]], key: str) -> float | None:
    """Return the mean of a figure over all windows of the sources."""
    windows = sum(source["windows"] for source in sources)
    return round(sum(source[key] * source["windows"] for source in sources) / windows, 2) if windows else None


if __name__ == "__main__":
    main()
