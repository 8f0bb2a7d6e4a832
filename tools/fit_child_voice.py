"""Fit models/child-voice: `SER_DATA=CORPORA python -m tools.fit_child_voice`.

A logistic regression on embeddings of parts of recordings, of children and adults. Its threshold is chosen by
cross-validation over speakers: at most `FALSE` of the recordings of adults are named, in each corpus.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from benchmarks.children import FITTED, read_voices
from ser_engine.io import write_text
from ser_engine.models.child_voice import ARCHITECTURE, BIAS, ID, WEIGHT
from ser_engine.models.store import TENSORS, write_config, write_tensors
from ser_engine.settings import Settings
from ser_engine.speakers.voice_kind import embed_voice, is_high

FALSE, FOLDS, SEED, STRENGTH = 0.01, 5, 0, 10.0
"""`STRENGTH` is the inverse of the regularization."""


@dataclass(frozen=True, eq=False)
class Example:
    """Embeddings at unit length, float32 [n, width], of one recording; `high` as of `voice_kind.is_high`."""

    corpus: str
    speaker: str
    child: bool
    high: bool
    embeddings: NDArray[np.float32]


def main() -> int:
    """Fit, write and print the rates of the cross-validation; return 2 if that is not possible."""
    settings = Settings.from_env()
    examples = [
        Example(clip.corpus, clip.speaker, child, is_high(speech.samples), embed_voice(speech.samples, settings))
        for clip, speech, child in tqdm(read_voices(FITTED, settings, held_out=False), mininterval=30)
    ]
    if {example.corpus for example in examples} != set(FITTED):
        print(f"{settings.data} does not hold the corpora {', '.join(FITTED)}; see SER_DATA.", file=sys.stderr)
        return 2
    scores = cross_validate(examples)
    threshold = choose_threshold(examples, scores)
    children = np.array([example.child for example in examples])
    print(f"cross-validation: {(scores[children] > threshold).mean():.1%} of {children.sum()} recordings of children")
    print(f"and {(scores[~children] > threshold).mean():.1%} of {(~children).sum()} of adults are named")
    weight, bias = fit(examples)
    folder = settings.models_dir / ID
    tensors = {WEIGHT: torch.from_numpy(weight), BIAS: torch.tensor([bias - threshold])}
    folder.mkdir(parents=True, exist_ok=True)
    checksum = write_tensors(folder, {name: tensor.float() for name, tensor in tensors.items()})
    write_config(folder, {"architecture": ARCHITECTURE, "corpora": list(FITTED), "weights": {TENSORS: checksum}})
    write_text(folder / "README.md", CARD)
    return 0


def fit(examples: Sequence[Example]) -> tuple[NDArray[np.float64], float]:
    """Return weights [width] and a bias; children and adults count the same."""
    rows = np.concatenate([example.embeddings for example in examples])
    children = np.repeat([example.child for example in examples], [len(example.embeddings) for example in examples])
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000).fit(rows, children)
    return model.coef_[0], float(model.intercept_[0])


def cross_validate(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return the score of each recording by weights that were fitted to other speakers; -inf of low voices."""
    scores = np.full(len(examples), -np.inf)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for train, test in folds.split(examples, groups=[example.speaker for example in examples]):
        weight, bias = fit([examples[row] for row in train])
        for row in test:
            if examples[row].high:
                scores[row] = examples[row].embeddings.mean(axis=0) @ weight + bias
    return scores


def choose_threshold(examples: Sequence[Example], scores: NDArray[np.float64]) -> float:
    """Return the least score above which at most `FALSE` of the recordings of adults are, in each corpus."""
    adults = [(example.corpus, score) for example, score in zip(examples, scores, strict=True) if not example.child]
    corpora = {corpus for corpus, _ in adults}
    own = [[score for corpus, score in adults if corpus == name] for name in corpora]
    return float(max(np.quantile(values, 1 - FALSE, method="higher") for values in own))


CARD = """---
license: mit
pipeline_tag: audio-classification
---

# Children's voices

Recognizes a child's voice, up to eleven years, so that an answer can say that the emotion models were
trained on adults: a logistic regression on the mean of up to two embeddings by [CAM++](../campplus/README.md), for
voices with a median pitch of 180 Hz or more. It was fitted to two of three speakers of speechocean762 (children and
adults whose first language is Mandarin, reading English), and of LibriSpeech, CREMA-D and EmoGator (adults). All of
these allow commercial use. Children of other languages, and children who shout or weep, are in none of them, and it is
not known how many of them are named. By telephone, most children are not.

How many recordings of the other speakers are named, and of five more corpora of adults, is measured by
`python -m benchmarks.bench children` (results/bench.json).

Made by

    SER_DATA=CORPORA python -m tools.fit_child_voice
"""

if __name__ == "__main__":
    sys.exit(main())
