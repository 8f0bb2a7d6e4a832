"""A speech emotion recogniser: give it a recording, get the probability of each emotion beside the words.

>>> from ser_engine import Analyzer
>>> analysis = Analyzer().analyze("call.wav")      # doctest: +SKIP
>>> analysis.scores.top, analysis.transcript.text  # doctest: +SKIP
('angry', 'Dogs are sitting by the door.')

Importing this package is cheap: torch and the models are loaded by the first analysis, or by `Analyzer.warm_up`.
"""

from ser_engine.analyzer import Analyzer
from ser_engine.settings import Settings
from ser_engine.types import Analysis

__all__ = ["Analysis", "Analyzer", "Settings"]
