"""The card of a reader of words: README.md beside the weights, every figure in it from its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_engine.data.corpora.registry import get_corpus


def write_text_card(folder: Path, entry: dict[str, Any]) -> None:
    """Write folder/README.md from run.json's content, beside and renamed."""
    metrics, votes, count = entry["metrics"], entry["votes"], entry["sentences"]
    columns = ("precision", "recall", "f1")
    classes = [
        f"| {label} | {' | '.join(str(row[key]) for key in columns)} | {_range(row['f1_ci95'])} | {row['support']} |"
        for label, row in entry["per_class"].items()
    ]
    acted = [
        f"| {get_corpus(name).title} | {row['sentences']} | {row['abstains']} |" for name, row in entry["acted"].items()
    ]
    text = f"""---
license: apache-2.0
language: en
pipeline_tag: text-classification
datasets: [go_emotions]
---

# {entry["model"]}

Emotion in words: {", ".join(entry["labels"])}, each with a probability of its own, since a text may hold several. It
is {entry["config"]["encoder"]} (Apache-2.0), fine-tuned whole and stored in 8 bits. Beside a voice it has a vote only
where an emotion is well beyond its threshold and beyond neutral; else it abstains, and the voice decides alone.

## How well it does

GoEmotions with Ekman's labels, the authors' test part ({count["test"]} sentences, {entry["repeated"]} of which stand in
the training part, too), weights as stored, thresholds chosen on the dev part. Percent, with 95% intervals over
sentences. Macro-F1 {metrics["macro_f1"]} ({_range(metrics["macro_f1_ci95"])}), weighted F1 {metrics["weighted_f1"]}
({_range(metrics["weighted_f1_ci95"])}); before the 8 bits macro-F1 was {entry["float32"]["macro_f1"]}. BERT-base has
64 in Demszky et al. (2020), table 5.

| label | precision | recall | F1 | 95% interval | sentences |
|---|---|---|---|---|---|
{chr(10).join(classes)}

Of the test's sentences that are neutral alone {votes["neutral"]}% have a vote, of those with an emotion and no neutral
{votes["emotional"]}%. What acted corpora say carries no emotion, and should have none:

| sentences of | sentences | % that abstain |
|---|---|---|
{chr(10).join(acted)}

Made by `python -m ser_engine train configs/{entry["id"]}.toml` (seed {entry["seed"]}); the whole run is in
`results/{entry["id"]}/`.

## Trained on

GoEmotions (Demszky et al., 2020, ACL: 4040-4054; Apache-2.0), {count["train"]} comments of Reddit, with the authors'
grouping of its 27 emotions: approval, gratitude and love count as happy, curiosity and confusion as surprised.

## What it is not

English alone, written by strangers on the internet and labelled by three to five readers each; it has their prejudices.
Irony, names and context escape it. It says which emotion readers would find in a text, not what anybody feels: nothing
to decide about people with.
"""
    beside = folder / ".README.md.part"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / "README.md")


def _range(bounds: list[float]) -> str:
    return f"{bounds[0]:.1f} to {bounds[1]:.1f}"
