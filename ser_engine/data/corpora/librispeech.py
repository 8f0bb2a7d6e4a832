"""LibriSpeech, train-clean-100: audiobooks read in English by 251 volunteers; nobody was asked to act."""

from ser_engine.data.corpora.base import ORDINARY, Corpus, match_names
from ser_engine.labels import NEUTRAL

CORPUS = Corpus(
    id="librispeech",
    title="LibriSpeech",
    languages=("en",),
    license="CC BY 4.0",
    commercial=True,
    citation="Panayotov et al. (2015), ICASSP 2015: 5206-5210",
    url="https://www.openslr.org/12",
    expected_clips=28539,
    expected_speakers=251,
    labels={ORDINARY: NEUTRAL},
    expected_labels={ORDINARY: 28539},
    emotion=ORDINARY,
    # Speaker, chapter and utterance, as in 7302-86814-0000.flac.
    read_codes=match_names(r"(?P<speaker>\d+)-\d+-\d+"),
)
