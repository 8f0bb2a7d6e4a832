"""Model cards: README.md beside the weights, every figure in it from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_engine.corpora.registry import corpus


def write_card(folder: Path, entry: dict[str, Any]) -> None:
    """Write folder/README.md from run.json's content."""
    metrics, labels = entry["metrics"], entry["labels"]
    rows = [f"| all together | {_figures(metrics)} | {sum(row['clips'] for row in entry['by_corpus'].values())} |"]
    rows += [f"| {corpus(name).title} | {_figures(row)} | {row['clips']} |" for name, row in entry["by_corpus"].items()]
    recall = [f"| {label} | {row['recall']} | {row['support']} |" for label, row in entry["per_class"].items()]
    sources = [f"- {corpus(name).title}: {corpus(name).citation}; {corpus(name).licence}." for name in entry["corpora"]]
    text = f"""---
license: cc-by-nc-sa-4.0
language: en
pipeline_tag: audio-classification
---

# {entry["model"]}

Emotion from the voice: {", ".join(labels)}. A small head ({entry["config"]["members"]} members whose opinions are
averaged) on the mean and deviation over time of every layer of Whisper-base's frozen encoder, run at the recording's
true length. Only the head is stored here; the encoder is that of `models/whisper-base`.

## How well it does on strangers' voices

Every clip was scored by a head that had not heard its speaker: RAVDESS in EmoBox's six published folds of whole actors,
the others in folds of whole speakers. Percent, with 95% intervals over speakers. Clips in which no speech was found
({entry["no_speech_found"]}) count as wrong.

| tested on | UA | 95% interval | WA | clips |
|---|---|---|---|---|
{chr(10).join(rows)}

Expected calibration error, with a temperature fitted on the other folds: {metrics["ECE"]} points.

| emotion | recall | clips |
|---|---|---|
{chr(10).join(recall)}
{_external(entry.get("external", {}))}
Made by `python -m ser_engine train configs/{entry["id"]}.toml` (seed {entry["seed"]}); the whole run is in
`results/{entry["id"]}/`.

## Trained on

{chr(10).join(sources)}

Two of these allow no commercial use, so neither does this model.

## What it is not

All of this is acted speech in North American English, a few seconds a clip. Calm occurs only in RAVDESS, surprise not
in CREMA-D, and TESS is two voices. Real feelings are weaker and mixed; other languages, children, whispering and
singing were not heard in training. It says what a voice sounds like, not what a person feels: it is no lie detector,
no diagnosis, and nothing to decide about people with.
"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _figures(row: dict[str, Any]) -> str:
    low, high = row["UA_ci95"]
    return f"{row['UA']:.1f} | {low:.1f} to {high:.1f} | {row['WA']:.1f}"


def _external(figures: dict[str, Any]) -> str:
    """Return the paragraph about corpora that nothing was trained on."""
    lines = []
    for name, row in figures.items():
        low, high = row["UA_among_shared_labels_ci95"]
        lines.append(
            f"\n{corpus(name).title}, from which nothing was learned: UA {row['UA']:.1f} over all labels, "
            f"{row['UA_among_shared_labels']:.1f} ({low:.1f} to {high:.1f}) among the {len(row['shared_labels'])} it "
            f"shares ({row['clips']} clips).\n"
        )
    return "".join(lines)
