"""Calibrate the label scores of one prompt, and measure the calibration error of its probabilities.

A calibration is learnt from scores (`fit_bias`, `fit_temperature`, `fit_mixture`), applied to scores (`apply`) and
saved as plain data (`to_dict`, `from_dict`). Scores are in nats, shape (batch, labels), up to a constant per example.
This package runs no model: its callers score the content-free inputs, or the texts of `domain_texts`, with the prompt.
"""

from softcloze.calibration.bias import LabelBias, fit_bias, fit_labels_bias
from softcloze.calibration.content_free import content_free, domain_texts
from softcloze.calibration.metrics import expected_calibration_error
from softcloze.calibration.mixture import Mixture, fit_mixture
from softcloze.calibration.one_sided import dominant_label, winning_label
from softcloze.calibration.registry import CALIBRATIONS, from_dict
from softcloze.calibration.scores import Calibration
from softcloze.calibration.temperature import Temperature, fit_temperature

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "LabelBias",
    "Mixture",
    "Temperature",
    "content_free",
    "domain_texts",
    "dominant_label",
    "expected_calibration_error",
    "fit_bias",
    "fit_labels_bias",
    "fit_mixture",
    "fit_temperature",
    "from_dict",
    "winning_label",
]
