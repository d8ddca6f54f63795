"""Calibrations by name, and their loading from plain data."""

from collections.abc import Mapping
from dataclasses import fields
from reprlib import repr as shortened
from typing import Any

from softcloze.calibration.bias import LABEL_BIASES, LabelBias
from softcloze.calibration.mixture import Mixture
from softcloze.calibration.scores import Calibration, as_tuples
from softcloze.calibration.temperature import Temperature
from softcloze.errors import ParameterError

CALIBRATIONS: dict[str, type[Calibration]] = {
    **dict.fromkeys((*LABEL_BIASES, "labels"), LabelBias),
    "prototypical": Mixture,
    "temperature": Temperature,
}
"""The class of each calibration method."""


def from_dict(data: Mapping[str, Any]) -> Calibration:
    """Load a calibration from the data of its `to_dict`, directly or by way of JSON.

    Returns:
        An equal calibration, which gives the same scores bit for bit.

    Raises:
        ParameterError: an unknown method, missing or additional keys, or invalid numbers.

    >>> from_dict({"method": "batch", "bias": [-0.5, -1.0]})
    LabelBias(method='batch', bias=(-0.5, -1.0))
    """
    match data:
        case {"method": str(method)} if method in CALIBRATIONS:
            kind = CALIBRATIONS[method]
            names = {field.name: field.init for field in fields(kind)}
            if {*data} == {*names}:
                return kind(**{name: as_tuples(data[name]) for name, init in names.items() if init})
        case {"method": method}:
            raise ParameterError(f"method={method!r} is unknown; expected {', '.join(CALIBRATIONS)}")
    raise ParameterError(f"a saved calibration is damaged; expected the data of its to_dict, found {shortened(data)}")
