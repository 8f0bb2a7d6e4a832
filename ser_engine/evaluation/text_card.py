"""The card of a text model: README.md next to the weights, every figure in it from its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ser_engine.data.corpora.registry import get_corpus
from ser_engine.data.corpora.sentences import TextCorpus
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.evaluation.record import RunRecord
from ser_engine.io import write_text


def write_text_card(folder: Path, record: RunRecord) -> None:
    """Write folder/README.md from the record of a text model."""
    metrics, details = record.metrics, record.details
    margins, sentences = details["margins"], details["sentences"]
    classes = [
        f"| {label} | {row['precision']} | {row['recall']} | {row['f1']} "
        f"| {_range((row['f1_low'], row['f1_high']))} | {row['support']:.0f} |"
        for label, row in record.per_class.items()
    ]
    acted = [
        f"| {get_corpus(name).title} | {row['sentences']} | {row['abstains']} |"
        for name, row in details["acted"].items()
    ]
    corpora = [TEXT_CORPORA[name] for name in record.corpora]
    written = "mostly written" if len(corpora) > 1 else "written"
    license = "apache-2.0" if all(corpus.commercial for corpus in corpora) else "cc-by-nc-sa-4.0"
    float32 = ""
    if "float32" in details:
        float32 = f" Before quantization, macro-F1 is {details['float32']['macro_f1']}."
    text = f"""---
license: {license}
language: en
pipeline_tag: text-classification
datasets: [{", ".join(corpus.hub for corpus in corpora if corpus.hub)}]
---

# {record.model}

Emotion in written English: {", ".join(record.labels)}. Each has its own probability, since a text can carry several.
The model is {record.config["encoder"]} (Apache-2.0), fine-tuned and stored in 8 bits. Combined with an audio model, it
influences the prediction only where an emotion is well above its threshold and above neutral; otherwise it abstains,
and audio alone decides.

## Accuracy

GoEmotions with Ekman's labels, the authors' test part ({sentences["test"]} sentences, {details["repeated"]} of which
are in the training part, too), weights as stored, thresholds chosen on the dev part. Percent, with 95% intervals over
sentences. Macro-F1 {metrics["macro_f1"]} ({_range(record.interval or ())}), weighted F1 {metrics["weighted_f1"]}
({_range(details["weighted_f1_ci95"])}).{float32} BERT-base has a macro-F1 of 64 in Demszky et al. (2020), table 5.

| label | precision | recall | F1 | 95% interval | sentences |
|---|---|---|---|---|---|
{chr(10).join(classes)}
{_corpora(record) if len(corpora) > 1 else ""}
Among the test sentences labeled neutral alone, {margins["neutral"]}% influence a prediction; among those labeled with
an emotion and not neutral, {margins["emotional"]}%. The sentences of acted corpora carry no emotion, and the model
should abstain on them:

| sentences of | sentences | % without influence |
|---|---|---|
{chr(10).join(acted)}

## Training

Made by `ser train configs/{record.id.rpartition("/")[0]}.toml` (seed {record.seed}); the whole run is in
`results/{record.id}/`.

GoEmotions (Demszky et al., 2020, ACL: 4040-4054; Apache-2.0), {sentences["train"]} comments from Reddit, with the
authors' grouping of its 27 emotions: approval, gratitude and love count as happy, curiosity and confusion as surprised.
{_others(corpora)}
## Limitations

English only, {written} by anonymous users of a website and labeled by three to five readers each, whose prejudices it
shares. Irony, names and context are lost on it. It predicts which emotion readers would see in a text, not what anybody
feels, and is no basis for decisions about people.
"""
    write_text(folder / "README.md", text)


def _corpora(record: RunRecord) -> str:
    """Return a table of all corpora, and an empty line on both sides."""
    metrics, details = record.metrics, record.details
    rows = [
        f"| {TEXT_CORPORA[name].title} | {details['parts'][name]['test']} | {metrics[f'{name}_F1']} "
        f"| {'–' if (share := details['neutral_without_emotion'][name]) is None else share} |"
        for name in record.corpora
    ]
    return f"""
The test parts of all corpora: macro-F1 over the labels that occur, and how many of the sentences labeled neutral alone
are recognized as such. Thresholds have the highest mean macro-F1 on the dev parts of those with neutral sentences.
{_tags(record)}
| corpus | sentences | macro-F1 | % of neutral ones without emotion |
|---|---|---|---|
{chr(10).join(rows)}
"""


def _tags(record: RunRecord) -> str:
    """Return which corpora a tag distinguishes; nothing without tags."""
    tags = record.config.get("tags") or {}
    if not tags:
        return ""
    put = ", ".join(f"“{tag.strip()}” before each sentence of {TEXT_CORPORA[name].title}" for name, tag in tags.items())
    return f"A tag distinguishes manners of writing, {put}; a text without one is read as a transcript of speech.\n"


def _others(corpora: Sequence[TextCorpus]) -> str:
    """Return a list of the corpora after the first, and of what their licenses mean; nothing for one corpus."""
    if len(corpora) < 2:
        return ""
    listed = "\n".join(
        f"- [{corpus.title}]({corpus.url}): {corpus.citation}; {corpus.license}" for corpus in corpora[1:]
    )
    closed = " and ".join(corpus.title for corpus in corpora if not corpus.commercial)
    allowed = (
        f"\n\nThe licenses of {closed} allow no commercial use, which holds for these weights, too." if closed else ""
    )
    return f"\nFurther corpora, in parts of 80, 10 and 10 percent by hash:\n\n{listed}{allowed}\n"


def _range(bounds: Sequence[float]) -> str:
    return " to ".join(f"{bound:.1f}" for bound in bounds)
