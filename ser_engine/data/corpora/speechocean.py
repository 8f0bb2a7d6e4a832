"""speechocean762, train part: English read as a second language by 125 speakers, half of them children."""

from dataclasses import replace
from pathlib import Path

from ser_engine.data.corpora.base import ORDINARY, Annotate, Corpus, match_names
from ser_engine.labels import NEUTRAL

GENDERS = {"f": "female", "m": "male"}


def read_annotations(root: Path) -> Annotate:
    """Read the speakers' genders from spk2gender, if it is anywhere under the corpus's folder."""
    genders = _read_table(root, "spk2gender")
    return lambda utterance: replace(utterance, gender=GENDERS.get(genders.get(utterance.speaker, "")))


def read_ages(root: Path) -> dict[str, int]:
    """Return the ages of the speakers ("speechocean/0001") from spk2age, if it is anywhere under the folder."""
    return {speaker: int(age) for speaker, age in _read_table(root, "spk2age").items() if age.isdecimal()}


def _read_table(root: Path, name: str) -> dict[str, str]:
    """Return what a table says of each speaker."""
    rows = [
        line.split()
        for table in sorted(root.rglob(name))[:1]
        for line in table.read_text(encoding="utf-8").splitlines()
    ]
    return {f"speechocean/{row[0]}": row[1] for row in rows if len(row) == 2}


CORPUS = Corpus(
    id="speechocean",
    title="speechocean",
    languages=("en",),
    license="free for commercial and other use",
    commercial=True,
    citation="Zhang et al. (2021), Interspeech 2021: 3710-3714",
    url="https://www.openslr.org/101",
    expected_clips=2500,
    expected_speakers=125,
    labels={ORDINARY: NEUTRAL},
    expected_labels={ORDINARY: 2500},
    emotion=ORDINARY,
    # Speaker and number, as in 020890003.wav.
    read_codes=match_names(r"0(?P<speaker>\d{4})\d{4}"),
    read_annotations=read_annotations,
)
