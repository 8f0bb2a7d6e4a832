"""The emotions have one name each, in one order."""

from __future__ import annotations

from types import ModuleType

import pytest

from ser_engine.corpora import cremad, emodb, ravdess, tess
from ser_engine.corpora.labels import EMOTIONS


def test_there_are_eight_in_the_order_of_ravdess() -> None:
    assert EMOTIONS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@pytest.mark.parametrize(
    ("reader", "missing"),
    [
        (ravdess, set()),
        (cremad, {"calm", "surprised"}),
        (tess, {"calm"}),
        (emodb, {"calm", "surprised"}),
    ],
)
def test_every_corpus_uses_our_names_and_lacks_what_it_lacks(reader: ModuleType, missing: set[str]) -> None:
    labels = {label for label in reader.EMOTION_CODES.values() if label is not None}
    assert labels == set(EMOTIONS) - missing
