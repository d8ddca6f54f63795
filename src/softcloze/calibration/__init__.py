"""Correct the label scores of one prompt, and measure how far its probabilities can be trusted.

A calibration is learnt from scores (`fit_bias`, `fit_temperature`, `fit_mixture`), applied to scores (`apply`) and
kept as plain JSON (`to_dict`, `from_dict`). Scores are natural logarithms (nats), shape (batch, labels), each row up to
a constant. Nothing here knows a model or a template: who calls it scores the content-free inputs, or the random texts
of `domain_texts`, with the prompt that is to be corrected.
"""

from softcloze.calibration.bias import LabelBias, fit_bias
from softcloze.calibration.content_free import content_free, domain_texts
from softcloze.calibration.metrics import expected_calibration_error
from softcloze.calibration.mixture import Mixture, fit_mixture
from softcloze.calibration.registry import METHODS, Calibration, from_dict
from softcloze.calibration.temperature import Temperature, fit_temperature

__all__ = [
    "METHODS",
    "Calibration",
    "LabelBias",
    "Mixture",
    "Temperature",
    "content_free",
    "domain_texts",
    "expected_calibration_error",
    "fit_bias",
    "fit_mixture",
    "fit_temperature",
    "from_dict",
]
