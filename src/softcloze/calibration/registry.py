"""All methods by name, and how a saved calibration is read."""

from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any, TypeAlias

from softcloze.calibration.bias import LABEL_BIASES, LabelBias
from softcloze.calibration.mixture import Mixture
from softcloze.calibration.scores import as_tuples
from softcloze.calibration.temperature import Temperature
from softcloze.errors import ParameterError

Calibration: TypeAlias = LabelBias | Temperature | Mixture
METHODS: tuple[str, ...] = (*LABEL_BIASES, Mixture.method, Temperature.method)


def from_dict(data: Mapping[str, Any]) -> Calibration:
    """Read what `to_dict` of a calibration wrote, before or after it went through JSON.

    Args:
        data: the plain data.

    Returns:
        An equal calibration, which gives the same scores bit for bit.

    Raises:
        ParameterError: a method that is unknown, or entries that are missing, too many or no proper numbers.

    >>> from_dict({"method": "batch", "bias": [-0.5, -1.0]})
    Shift(method='batch', bias=(-0.5, -1.0))
    """
    match data:
        case {"method": str(method), "bias": list(bias), **rest} if method in LABEL_BIASES and not rest:
            return LabelBias(method, as_tuples(bias))
        case {"method": Temperature.method, "temperature": temperature, **rest} if not rest:
            return Temperature(temperature)
        case {
            "method": Mixture.method,
            "weights": list(weights),
            "means": list(means),
            "covariances": list(covariances),
            **rest,
        } if not rest:
            return Mixture(as_tuples(weights), as_tuples(means), as_tuples(covariances))
        case {"method": method} if method not in METHODS:
            raise ParameterError(f"method={method!r} is unknown; expected {', '.join(METHODS)}")
        case _:
            raise ParameterError(
                f"a saved calibration is damaged; expected what its to_dict wrote, found {shortened(data)}"
            )
