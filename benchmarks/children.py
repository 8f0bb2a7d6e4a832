"""Children's voices: how many recordings of children are named, and of adults, who speak, act, shout and weep.

The corpora in `FITTED` have speakers whom `tools.fit_child_voice` takes, and others that are held out. All corpora but
speechocean are of adults.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.corpora.speechocean import read_ages
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.speakers.voice_kind import CHILD, name_voice
from ser_engine.types import CleanSpeech

FITTED = {"speechocean": 1250, "librispeech": 251, "cremad": 1500, "emogator": 1500}
"""Clips, evenly spread over the corpora that allow commercial use."""
CLIPS = FITTED | {"ravdess": 480, "tess": 200, "emodb": 270, "emovo": 300, "ased": 620}
OLDEST_CHILD, YOUNGEST_ADULT = 11, 18
"""Years; who is between them is left out, since voices change at that age."""
SHARES = 3
"""One of so many speakers is held out."""


def measure() -> dict[str, object]:
    """Return the percentage of held-out recordings that are named, of children and of adults, and how many there are.

    Nothing is measured of corpora that are not there.
    """
    settings = Settings.from_env()
    count, named = Counter[str](), Counter[str]()
    for clip, speech, child in read_voices(CLIPS, settings, held_out=True):
        group = "children" if child else clip.corpus
        count[group] += 1
        named[group] += CHILD in name_voice(speech, settings).quality.voice_kinds
    rates = {group: round(100 * named[group] / count[group], 2) for group in count}
    adults = count.total() - count["children"]
    if not count["children"] or not adults:
        return {}
    return {
        "child_named": rates.pop("children"),
        "child_false": round(100 * (named.total() - named["children"]) / adults, 2),
        "child_false_by_corpus": rates,
        "child_recordings": {"children": count["children"], "adults": adults},
    }


def read_voices(
    corpora: Mapping[str, int], settings: Settings, held_out: bool
) -> Iterator[tuple[Utterance, CleanSpeech, bool]]:
    """Yield the clips with speech, and whether a child speaks; those of corpora that are missing are left out."""
    for corpus, number in corpora.items():
        if not registry.is_available(corpus, settings.data):
            continue
        ages = read_ages(settings.data / corpus) if corpus == "speechocean" else {}
        clips = registry.read_corpus(corpus, settings.data)
        for row in np.linspace(0, len(clips) - 1, min(number, len(clips))).round().astype(int):
            clip = clips[row]
            age = ages.get(clip.speaker, YOUNGEST_ADULT)
            if is_held_out(clip) != held_out or OLDEST_CHILD < age < YOUNGEST_ADULT:
                continue
            try:
                yield clip, clean_speech(load_audio(clip.path, settings), settings), age <= OLDEST_CHILD
            except NoSpeech:
                continue


def is_held_out(clip: Utterance) -> bool:
    """Whether the speaker of a clip is one to whom no weights are fitted."""
    return clip.corpus not in FITTED or zlib.crc32(clip.speaker.encode()) % SHARES == 0
