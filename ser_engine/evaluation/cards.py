"""Model cards: README.md beside the weights, every figure in it from a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_engine.data.corpora.registry import get_corpus
from ser_engine.data.degrade import TITLES
from ser_engine.features.encoder import LOWER_BLOCKS
from ser_engine.models import trained_on
from ser_engine.training.heads import PLAIN

CORE_W = 10
"""What a busy core of a server's processor takes, about, with its share of the rest; nothing here measures it."""
USE = """## What it is for

Research on speech and its corpora; showing what such a system can and cannot do; sorting recordings of one's own.
Whoever is listened to has to be told so, in the European Union by law (Regulation (EU) 2024/1689, article 50).

It is not for inferring the emotions of people at work or in education, which article 5 of that regulation forbids but
for medical or safety reasons; not for deciding about anybody, in hiring, schooling, policing, insurance, credit or
care; not for finding lies, and not for diagnoses.

## What it is not

All of this is acted speech in North American English, a few seconds a clip. Calm occurs only in RAVDESS, surprise not
in CREMA-D, and TESS is two voices. Real feelings are weaker and mixed; other languages, children, whispering and
singing were not heard in training. It says what a voice sounds like, not what a person feels.
"""


def write_card(folder: Path, entry: dict[str, Any]) -> None:
    """Write folder/README.md from run.json's content."""
    metrics = entry["metrics"]
    text = f"""---
license: cc-by-nc-sa-4.0
language: en
pipeline_tag: audio-classification
---

# {entry["model"]}

Emotion from the voice: {", ".join(entry["labels"])}. {_tuned(entry) if "beside" in entry else _frozen(entry)}

## How well it does on strangers' voices

Every clip was scored by a model that had not heard its speaker: RAVDESS in EmoBox's six published folds of whole
actors, the others in folds of whole speakers. Percent, with 95% intervals over speakers. Clips in which no speech was
found ({entry["no_speech_found"]}) count as wrong.

| tested on | UA | 95% interval | WA | clips |
|---|---|---|---|---|
{_accuracies(entry)}

{_by_emotion(entry)}{_external(entry.get("external", {}))}{_conditions(entry.get("conditions", {}))}
{_probe(entry.get("corpus_probe", {}))}## How sure it is

Its probabilities are scaled with a temperature that was fitted on the other folds; their expected calibration error is
{metrics["ECE"]} points. {_not_sure(entry["confidence"]["threshold"])}{_foreign(entry)}

## How it was made

Made by `python -m ser_engine train configs/{entry["id"]}.toml` (seed {entry["seed"]}); the whole run is in
`results/{entry["id"]}/`. {_augmented(entry["config"])}{_cost(entry)}

{_trained_on(entry["corpora"])}
{USE}"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _frozen(entry: dict[str, Any]) -> str:
    """Return what a head on the frozen encoder is."""
    config = entry["config"]
    return f"""Whisper-base's encoder, frozen, hears the recording at its true length; a
small head ({config["members"] + config["attentive"]} members whose opinions are averaged) says what
it sounds like. {config["members"]} members see the mean and deviation over time of every layer, and
{config["attentive"]} attend to moments of its lower layers (attentive statistics pooling). Only the head is
stored here; the encoder is that of `models/whisper-base`."""


def _tuned(entry: dict[str, Any]) -> str:
    """Return what tuned blocks beside a frozen model are."""
    config, parts, beside = entry["config"], entry["parts"], entry["beside"]
    first, last = LOWER_BLOCKS + 1, LOWER_BLOCKS + config["blocks"]
    return f"""Two models have the same say:
[{beside}](../{beside}/README.md), which listens through Whisper-base's encoder as it is, and copies of the encoder's
blocks {first} to {last} ({config["members"]} of each), tuned for emotion together with a head that attends to moments
of their states. Only the tuned copies and their head are stored here; what is below them is that of
`models/whisper-base`. On the clips below the tuned blocks alone have a UA of {parts["tuned"]["UA"]:.1f}, the frozen one
alone {parts["frozen"]["UA"]:.1f}."""


def write_fused_card(folder: Path, entry: dict[str, Any], voice: str) -> None:
    """Write folder/README.md of a model of words and the model `voice` from run.json's content."""
    config, words, metrics = entry["config"], entry["words"], entry["metrics"]
    alone = entry["parts"]["speech"]
    text = f"""---
license: cc-by-nc-sa-4.0
language: en
pipeline_tag: audio-classification
---

# {entry["model"]}

Emotion from a voice and its words: {", ".join(entry["labels"])}.
The voice is heard by [{voice}](../{voice}/README.md), the words that Whisper writes down are read by
[{config["text"]}](../{config["text"]}/README.md); no further weights are stored
here. Words that say nothing of an emotion change nothing, words that agree sharpen the answer, and words that disagree
widen it; a voice that is sure is not outvoted (`ser_engine/fusion.py` says how, and what follows).

## How well it does on strangers' voices

The voice by a model that had not heard its speaker, the words as Whisper heard them. Percent, with 95% intervals over
speakers; clips in which no speech was found ({entry["no_speech_found"]}) count as wrong.

| tested on | UA | 95% interval | WA | clips |
|---|---|---|---|---|
{_accuracies(entry)}

{_by_emotion(entry)}
The voice alone has a UA of {alone["UA"]:.1f} and a WA of {alone["WA"]:.1f} on the same clips. Actors say sentences that
mean nothing of what they play, so that words can only mislead here: they speak up in {words["speak"]:.2f} of 100 clips,
change the answer in {words["change"]:.2f}, and cost {words["lost"]:.2f} points of UA. What they are worth where people
say what they feel, no corpus here can tell. How well the voice alone is understood by telephone, in noise and in
another language, and how well the words alone are read, their own cards say.

## How sure it is

The expected calibration error is {metrics["ECE"]} points. {_not_sure(entry["confidence"]["threshold"])}

## How it was made

Made by `python -m ser_engine train configs/{entry["id"]}.toml`; the whole run is in `results/{entry["id"]}/`. Nothing
was trained for it but its two parts, whose cards say what that took.

{_trained_on(entry["corpora"])}
{USE}"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _by_emotion(entry: dict[str, Any]) -> str:
    """Return the table of what becomes of each emotion, beside what people heard, with who they were below it."""
    heard = entry["listeners"]
    rows = [
        f"| {label} | {row['recall']} | {row['precision']} | {_by_listeners(label, heard)} | {row['support']} |"
        for label, row in entry["per_class"].items()
    ]
    return f"""| emotion | recall | precision | listeners | clips |
|---|---|---|---|---|
{chr(10).join(rows)}
{_listeners(heard)}"""


def _trained_on(corpora: Sequence[str]) -> str:
    """Return the chapter on where the voices are from; some corpora allow no commercial use."""
    sources = [
        f"- {get_corpus(name).title}: {get_corpus(name).citation}; {get_corpus(name).license}." for name in corpora
    ]
    return f"""## Trained on

{chr(10).join(sources)}

Two of these allow no commercial use, so neither does this model. The file `{trained_on.FILE}` beside this card knows
every clip that it has heard, all of those above: the engine warns when one of them is analysed, since that is no test.
"""


def _accuracies(entry: dict[str, Any]) -> str:
    """Return the rows of the table of what was tested on: all, each corpus, each gender."""
    clips = sum(row["clips"] for row in entry["by_corpus"].values())
    rows = [f"| all together | {_figures(entry['metrics'])} | {clips} |"]
    rows += [
        f"| {get_corpus(name).title} | {_figures(row)} | {row['clips']} |" for name, row in entry["by_corpus"].items()
    ]
    rows += [f"| {gender} speakers | {_plain(row)} | {row['clips']} |" for gender, row in entry["by_gender"].items()]
    return "\n".join(rows)


def _figures(row: dict[str, Any]) -> str:
    low, high = row["UA_ci95"]
    return f"{row['UA']:.1f} | {low:.1f} to {high:.1f} | {row['WA']:.1f}"


def _plain(row: dict[str, Any]) -> str:
    return f"{row['UA']:.1f} | – | {row['WA']:.1f}"


def _by_listeners(label: str, listeners: dict[str, Any]) -> str:
    """Return what listeners reach for a label, the corpora that know it one after the other."""
    return ", ".join(str(row["per_label"][label]) for row in listeners.values() if label in row["per_label"]) or "–"


def _listeners(listeners: dict[str, Any]) -> str:
    """Return the sentence on people who listened to the same clips."""
    return "".join(
        f"\nListeners: most people who heard the voice alone took a clip of {get_corpus(name).title} for what was "
        f"meant in {row['agreement']} of 100 ({row['clips']} clips; {get_corpus(name).citation.split(',')[0]}).\n"
        for name, row in listeners.items()
    )


def _conditions(found: dict[str, Any]) -> str:
    """Return the table of the same clips under harder hearing."""
    if not found:
        return ""
    rows = [f"| {TITLES[name]} | {_figures(row)} | {row['lost']:.1f} |" for name, row in found.items()]
    head = "\nThe same clips, all together, heard worse:\n\n| heard | UA | 95% interval | WA | points of UA lost |\n"
    return head + "|---|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _probe(found: dict[str, Any]) -> str:
    """Return the paragraph on what is left of the corpora in what the head makes of a clip."""
    if not found:
        return ""
    return (
        f"Corpora differ in more than emotion. Of 100 clips of strangers, the corpora counted alike, a linear probe "
        f"names the corpus of {found['encoder']:.1f} from the encoder's statistics and of {found['model']:.1f} from "
        f"what the head makes of them, before its last layer; guessing names {found['chance']:.1f}.\n\n"
    )


def _augmented(config: dict[str, Any]) -> str:
    """Return the sentence on what is heard in training beside the clips as they are."""
    versions = [TITLES[name] for name in config.get("augmentation", ())]
    return f"In training, {100 * (1 - PLAIN):.0f} of 100 clips are heard {' or '.join(versions)}. " if versions else ""


def _not_sure(threshold: dict[str, float]) -> str:
    """Return what withholding an answer is worth."""
    coverage, accuracy, without = (100 * threshold[key] for key in ("coverage", "accuracy", "without"))
    return (
        f"Where no probability reaches {100 * threshold['below']:.0f}% it says that it is not sure: it then answers "
        f"{coverage:.0f} of 100 and is right in {accuracy:.1f} of 100 answers, against {without:.1f} had it always "
        "answered."
    )


def _foreign(entry: dict[str, Any]) -> str:
    """Return how sure it is where nothing was learned."""
    told = ""
    for name, row in entry.get("external", {}).items():
        sure = row["confidence"]
        right = f", of which {100 * sure['accuracy']:.1f} are right" if sure["accuracy"] is not None else ""
        told += (
            f" On {get_corpus(name).title}, of which it heard nothing, its highest probability is "
            f"{100 * sure['mean']:.0f}% on average, against {100 * entry['confidence']['mean']:.0f}% on strangers in "
            f"its own corpora, and it gives {100 * sure['coverage']:.0f} of 100 answers{right}."
        )
    return told


def _cost(entry: dict[str, Any]) -> str:
    """Return what the run took."""
    hours = entry["seconds"] / 3600
    return (
        f"Its training and tests took {hours:.1f} h of {entry['cores']} processor cores beside what is computed of the "
        f"clips once; at {CORE_W} W a core, which is a guess, {hours * entry['cores'] * CORE_W:.0f} Wh."
    )


def _external(figures: dict[str, Any]) -> str:
    """Return the paragraph about corpora that nothing was trained on."""
    lines = []
    for name, row in figures.items():
        low, high = row["UA_among_shared_labels_ci95"]
        lines.append(
            f"\n{get_corpus(name).title}, from which nothing was learned: UA {row['UA']:.1f} over all labels, "
            f"{row['UA_among_shared_labels']:.1f} ({low:.1f} to {high:.1f}) among the {len(row['shared_labels'])} it "
            f"shares ({row['clips']} clips).\n"
        )
    return "".join(lines)
