"""A speech emotion recognizer: probabilities of emotions, and the words, from recordings of speech.

>>> from ser_engine import Analyzer
>>> analysis = Analyzer().analyze("tests/data/man_dogs.ogg")
>>> analysis.transcript.text
'Dogs are sitting by the door.'
>>> round(float(sum(analysis.scores.probabilities)), 3)
1.0

`process_file`, `process_files`, `process_folder` and `process_signal` return pandas tables. Importing this package is
cheap: the models are loaded by the first analysis, or by `Analyzer.warm_up`.
"""

from ser_engine.analyzer import Analyzer
from ser_engine.process import process_file, process_files, process_folder, process_signal
from ser_engine.settings import Settings
from ser_engine.types import Analysis

__all__ = [
    "Analysis",
    "Analyzer",
    "Settings",
    "process_file",
    "process_files",
    "process_folder",
    "process_signal",
]
