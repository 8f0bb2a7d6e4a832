"""Model cards: README.md next to the weights, every figure in it from a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_engine.data.corpora.registry import get_corpus
from ser_engine.data.degrade import TITLES
from ser_engine.evaluation.record import RunRecord
from ser_engine.features.encoder import BLOCKS, LOWER_BLOCKS
from ser_engine.io import write_text
from ser_engine.models.trained_on import FILE as TRAINED_ON
from ser_engine.transcription.language import name_languages

CORE_W = 10
"""Rough power of a busy core of a server's processor, in watts, with its share of the rest; not measured here."""
AUGMENTED = 33
"""Percent of the training clips that are taken degraded (`training.heads.UNDEGRADED`)."""
FRONT_MATTER = """---
license: {license}
language: {languages}
pipeline_tag: audio-classification
---
"""
RESTRICTED, FREE = "cc-by-nc-sa-4.0", "mit"
"""Licenses of models: of one whose training data allow no commercial use, and of the others."""
FOLLOWS = {
    "Open Database License 1.0": "whoever publishes this model, or what it computes, names {title} as a source",
    "Apache License 2.0": "{title}'s copyright notice stays with the model",
    "CC BY 4.0": "the authors of {title} are named, with a link to the license",
    "free for commercial and other use": "{title} asks for its citation alone",
}
"""What follows from the licenses that allow commercial use, for a model that was trained on such data."""
USE = """## Intended use

Research on speech and its corpora; showing what such a system can and cannot do; sorting one's own recordings. People
who are analyzed have to be informed, in the European Union by law (Regulation (EU) 2024/1689, article 50).

Out of scope: inferring the emotions of people at work or in education, which article 5 of that regulation forbids
except for medical or safety reasons; decisions about people, in hiring, schooling, policing, insurance, credit or care;
lie detection; diagnoses.

## Limitations

The emotional training data are acted speech in North American English, a few seconds a clip. CREMA-D has no calm and
no surprised voices, and TESS two speakers. Real feelings are weaker and mixed; other languages, whispering and singing
are not in the training data. The model rates how a voice sounds, not what a person feels.
"""


def write_card(folder: Path, record: RunRecord, corpora: Sequence[str], base_model: str = "") -> None:
    """Write folder/README.md of an audio model.

    It was trained on `corpora`; `base_model` is the id of the model on the frozen encoder that it is averaged with.
    """
    system = record.id.rpartition("/")[0]
    text = f"""{_front_matter(corpora)}
# {record.model}

Emotion from the voice: {", ".join(record.labels)}. {_architecture(record, base_model)}

## Accuracy on unseen speakers

Every clip was scored by a model without its speaker in training: RAVDESS in EmoBox's six published folds of whole
actors, the others in folds of whole speakers. Percent, with 95% intervals over speakers. The {record.no_speech} clips
in which no speech was detected count as errors.

{accuracy_table(record)}

{_per_class_table(record)}{_external(record, corpora)}{_degradations(record)}
{_probe(record.corpus_probe)}{_ordinary(record)}## Confidence

Probabilities are scaled with a temperature that was fitted on the other folds; their expected calibration error is
{record.metrics["ECE"]} points. {_abstention(record)}{_confidence_elsewhere(record, corpora)}

## Training

Made by `ser train configs/{system}.toml` (seed {record.seed}); the whole run is in `results/{record.id}/`.
{_augmentation(record.config)}{_cost(record)}

{_training_data(corpora)}
{USE}"""
    write_text(folder / "README.md", text)


def write_fused_card(folder: Path, record: RunRecord, audio_model: str, corpora: Sequence[str]) -> None:
    """Write folder/README.md of a model that combines an audio model, trained on `corpora`, and a text model."""
    system = record.id.rpartition("/")[0]
    text_model, words, audio = record.config["text_model"], record.details["words"], record.components["audio"]
    text = f"""{_front_matter(corpora)}
# {record.model}

Emotion from the voice and the words: {", ".join(record.labels)}.
Audio is classified by [{audio_model}](../{audio_model}/README.md), the transcript by
[{text_model}](../{text_model}/README.md); no further weights are stored here. Words that carry no emotion change
nothing, words that agree with the voice sharpen the prediction, and words that disagree widen it; they cannot overturn
a confident prediction from audio (`ser_engine/models/fusion.py` has the formula and what follows from it).

## Accuracy on unseen speakers

Audio was scored by a model without the speaker in training, the words are Whisper's transcript. Percent, with 95%
intervals over speakers. The {record.no_speech} clips in which no speech was detected count as errors.

{accuracy_table(record)}

{_per_class_table(record)}
Audio alone has a UA of {audio["UA"]:.1f} and a WA of {audio["WA"]:.1f} on the same clips. Actors speak sentences that
carry no emotion, so words can only mislead here: they are informative in {words["informative"]:.2f} of 100 clips,
change the answer in {words["changed"]:.2f}, and cost {words["lost"]:.2f} points of UA. What they are worth in speech
that says what people feel cannot be measured on these corpora. The cards of the two models have their figures by
telephone, in noise, in another language, and on written sentences.

## Confidence

The expected calibration error is {record.metrics["ECE"]} points. {_abstention(record)}

## Training

Made by `ser train configs/{system}.toml`; the whole run is in `results/{record.id}/`. Nothing was trained but the
two models, whose cards have the cost.

{_training_data(corpora)}
{USE}"""
    write_text(folder / "README.md", text)


def model_languages(record: RunRecord, corpora: Sequence[str]) -> dict[str, list[str]]:
    """Return the codes of the languages of the training `corpora`, and of the corpora on which emotions were tested."""
    tested = (*record.by_corpus, *measured_elsewhere(record))
    both = {"trained": corpora, "measured": tested}
    return {kind: sorted({code for id in ids for code in get_corpus(id).languages}) for kind, ids in both.items()}


def accuracy_table(record: RunRecord) -> str:
    """Return a Markdown table of UA with its interval and WA: all clips, each corpus, each gender."""
    interval = dict(zip(("UA_low", "UA_high"), record.interval or (), strict=False))
    groups = {"all": {**record.metrics, **interval, "clips": record.tested or 0}}
    groups |= {get_corpus(id).title: dict(row) for id, row in record.by_corpus.items()}
    groups |= {f"{gender} speakers": dict(row) for gender, row in record.by_gender.items()}
    rows = [f"| {name} | {_figures(row)} | {row['clips']:,} |" for name, row in groups.items()]
    return "\n".join(["| tested on | UA | 95% interval | WA | clips |", "|---|---|---|---|---|", *rows])


def _figures(row: Mapping[str, float]) -> str:
    interval = f"{row['UA_low']:.1f} to {row['UA_high']:.1f}" if "UA_low" in row else "–"
    return f"{row['UA']:.1f} | {interval} | {row['WA']:.1f}"


def _architecture(record: RunRecord, base_model: str) -> str:
    if base_model:
        return _tuned(record, base_model)
    return _heads(record) if record.system == "whisper-heads" else _frozen(record)


def _heads(record: RunRecord) -> str:
    config = record.config
    first, last = LOWER_BLOCKS + 1, LOWER_BLOCKS + config["blocks"]
    attentive = config["frozen"] + config["tuned"]
    kinds = [f"{config['statistics']} use the mean and deviation over time of every layer"] * (config["statistics"] > 0)
    kinds += [f"{attentive} use attentive statistics pooling over frames of the lower layers"] * (attentive > 0)
    tuned = (
        f" {config['tuned']} of them have copies of the encoder's blocks {first} to {last}, fine-tuned with the head."
        if config["tuned"]
        else ""
    )
    return (
        f"Whisper-base's encoder processes the recording at its true length, up to its block {BLOCKS}; "
        f"{config['statistics'] + attentive} heads classify its states and are averaged: {', and '.join(kinds)}."
        f"{tuned} Only the heads are stored here; the encoder is that of `models/whisper-base`."
    )


def _frozen(record: RunRecord) -> str:
    members, attentive = record.config["members"], record.config["attentive"]
    return (
        "Whisper-base's encoder, frozen, processes the recording at its true length; an ensemble of "
        f"{members + attentive} small networks classifies its states and is averaged. {members} use the mean and "
        f"deviation over time of every layer, and {attentive} use attentive statistics pooling over frames of the "
        "lower layers. Only the heads are stored here; the encoder is that of `models/whisper-base`."
    )


def _tuned(record: RunRecord, base_model: str) -> str:
    config, parts = record.config, record.components
    first, last = LOWER_BLOCKS + 1, LOWER_BLOCKS + config["blocks"]
    return (
        f"The heads of [{base_model}](../{base_model}/README.md), on Whisper-base's frozen encoder, are averaged with "
        f"{config['members']} attentive pooling heads, each with fine-tuned copies of the encoder's blocks {first} to "
        f"{last}; all heads have the same weight. Only the latter are stored here; what is below them is that of "
        "`models/whisper-base`. On the clips below the tuned heads alone have a UA of "
        f"{parts['tuned']['UA']:.1f}, the others alone {parts['frozen']['UA']:.1f}."
    )


def _per_class_table(record: RunRecord) -> str:
    """Return the table of each emotion's figures next to listeners', with a sentence on who the listeners were."""
    lines = ["| emotion | recall | precision | listeners | clips |\n|---|---|---|---|---|\n"]
    for label, row in record.per_class.items():
        recalls = [corpus["per_label"] for corpus in record.perceived.values()]
        perceived = ", ".join(str(by_label[label]) for by_label in recalls if label in by_label) or "–"
        lines.append(f"| {label} | {row['recall']} | {row['precision']} | {perceived} | {row['support']:.0f} |\n")
    lines += [
        f"\nListeners: in {row['agreement']} of 100 clips of {get_corpus(id).title} ({row['clips']} clips), most "
        f"people named the intended emotion from the voice alone ({get_corpus(id).citation.split(',')[0]}).\n"
        for id, row in record.perceived.items()
    ]
    return "".join(lines)


def _restricted(corpora: Sequence[str]) -> list[str]:
    """Return the titles of the corpora that allow no commercial use."""
    return [get_corpus(id).title for id in corpora if not get_corpus(id).commercial]


def _front_matter(corpora: Sequence[str]) -> str:
    spoken = sorted({code for id in corpora for code in get_corpus(id).languages})
    languages = spoken[0] if len(spoken) == 1 else f"[{', '.join(spoken)}]"
    return FRONT_MATTER.format(license=RESTRICTED if _restricted(corpora) else FREE, languages=languages)


def _training_data(corpora: Sequence[str]) -> str:
    """Return the chapter on the training data; some corpora allow no commercial use."""
    sources = [f"- {get_corpus(id).title}: {get_corpus(id).citation}; {get_corpus(id).license}." for id in corpora]
    return f"""## Training data

{chr(10).join(sources)}

{_commercial(corpora)} The file `{TRAINED_ON}` next to this card lists every
training clip by its checksum: the engine warns when one of them is analyzed, since that is no test.
"""


def _commercial(corpora: Sequence[str]) -> str:
    """Return the sentence on commercial use."""
    restricted = _restricted(corpora)
    if not restricted:
        followed = (FOLLOWS[get_corpus(id).license].format(title=get_corpus(id).title) for id in corpora)
        return f"All of these allow commercial use, and what they ask for is this: {'; '.join(followed)}."
    verb = "allow" if len(restricted) > 1 else "allows"
    return f"{' and '.join(restricted)} {verb} no commercial use, so neither does this model."


def _degradations(record: RunRecord) -> str:
    table = record.degradations
    share = round(100 * max((row.get("clips", 0) for row in table.values()), default=0) / max(1, record.clips or 0))
    clips = f"A random {share} in 100 of these clips" if 0 < share < 100 else "The same clips, all together"
    head = f"\n{clips}, degraded:\n\n| degradation | UA | 95% interval | WA | UA lost |\n|---|---|---|---|---|\n"
    rows = [f"| {TITLES[name]} | {_figures(row)} | {row['lost']:.1f} |\n" for name, row in table.items()]
    return "".join([head, *rows]) if rows else ""


def _probe(probe: Mapping[str, float]) -> str:
    if not probe:
        return ""
    return (
        f"Corpora differ in more than emotion. A linear probe names the corpus of clips of unseen speakers, averaged "
        f"over corpora, in {probe['encoder']:.1f} of 100 from the encoder's statistics and in {probe['model']:.1f} "
        f"from the input of the last layers; chance is {probe['chance']:.1f}.\n\n"
    )


def _augmentation(config: Mapping[str, Any]) -> str:
    titles = [TITLES[name] for name in config.get("augmentation", ())]
    if config.get("mixes"):
        titles.append("in a random mix of rooms, noises, voices, codecs and microphones")
    if config.get("crowds"):
        titles.append("in such a mix among other voices")
    share = round(100 * (1 - config["plain"])) if "plain" in config else AUGMENTED
    return f"In training, {share} of 100 clips are degraded: {' or '.join(titles)}. " if titles else ""


def _abstention(record: RunRecord) -> str:
    threshold = record.calibration["threshold"]
    coverage, accuracy, without = (100 * threshold[key] for key in ("coverage", "accuracy", "without"))
    return (
        f"If no probability reaches {100 * threshold['below']:.0f}%, the answer is “not sure”: that answers "
        f"{coverage:.0f} of 100 clips, of which {accuracy:.1f} in 100 are right, against {without:.1f} if all were "
        "answered."
    )


def _confidence_elsewhere(record: RunRecord, corpora: Sequence[str]) -> str:
    sentences = ""
    for id, row in measured_elsewhere(record).items():
        confidence = row["confidence"]
        right = f", {100 * confidence['accuracy']:.1f}% of them right" if confidence["accuracy"] is not None else ""
        sentences += (
            f" On {get_corpus(id).title}, {_who(corpora, id)}, the mean confidence is "
            f"{100 * confidence['mean']:.0f}%, against {100 * record.calibration['mean']:.0f}% on unseen speakers of "
            f"the training corpora, and {100 * confidence['coverage']:.0f} of 100 clips get an answer{right}."
        )
    return sentences


def _cost(record: RunRecord) -> str:
    """Return the time and a guess of the energy that the run took."""
    hours, cores = (record.seconds or 0.0) / 3600, record.cores or 0
    return (
        f"Training and testing took {hours:.1f} h on {cores} processor cores, without the cached features; at "
        f"{CORE_W} W a core, which is a guess, {hours * cores * CORE_W:.0f} Wh."
    )


def _external(record: RunRecord, corpora: Sequence[str]) -> str:
    lines = []
    for id, row in measured_elsewhere(record).items():
        low, high = row["UA_among_shared_labels_ci95"]
        lines.append(
            f"\n{get_corpus(id).title}, {_who(corpora, id)}: UA {row['UA']:.1f} over all labels, "
            f"{row['UA_among_shared_labels']:.1f} ({low:.1f} to {high:.1f}) among the {len(row['shared_labels'])} that "
            f"it has ({row['clips']} clips).\n"
        )
    languages = model_languages(record, corpora)
    names = (name_languages(languages[kind]) for kind in ("trained", "measured"))
    return "".join([*lines, "\nTrained on {}, and measured on {}.\n".format(*names)])


def _who(corpora: Sequence[str], corpus: str) -> str:
    return "speakers who are not in training" if corpus in corpora else "which is not in training"


def measured_elsewhere(record: RunRecord) -> dict[str, Mapping[str, Any]]:
    """Return the figures on external corpora that have emotions."""
    return {id: row for id, row in record.external.items() if "UA" in row}


def _ordinary(record: RunRecord) -> str:
    """Return the chapter on false alarms, if they were measured."""
    rows = [
        f"| {get_corpus(id).title} | {row['windows']} | {row['alarms']:.1f} | {row['alarms_per_minute']:.2f} |\n"
        for id, row in record.external.items()
        if "alarms" in row
    ]
    if not rows:
        return ""
    return (
        "## False alarms on ordinary talk\n\n"
        "Nobody acts in these recordings. A window of 3 s is a false alarm if its answer is sure, and neither neutral "
        "nor calm; readers of novels do act now and then. No speaker is in training.\n\n"
        "| ordinary talk | windows | false alarms in 100 | a minute |\n|---|---|---|---|\n" + "".join(rows) + "\n"
    )
