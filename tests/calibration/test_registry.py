"""Calibrations as plain data: read back, they give the same scores bit for bit."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.calibration import CALIBRATIONS, fit_bias, fit_labels_bias, fit_mixture, fit_temperature, from_dict
from softcloze.errors import ParameterError


def learnt(method, seed=0, labels=3):
    generator = np.random.default_rng(seed)
    scores = 5 * generator.normal(size=(30, labels))
    match method:
        case "temperature":
            return fit_temperature(scores, generator.integers(labels, size=30))
        case "labels":
            return fit_labels_bias(scores, generator.integers(labels, size=30))
        case "prototypical":
            return fit_mixture(scores, seed)
        case _:
            return fit_bias(scores, method)


def test_all_methods_are_named():
    assert tuple(CALIBRATIONS) == ("contextual", "domain", "pmi", "batch", "labels", "prototypical", "temperature")
    assert [learnt(method).method for method in CALIBRATIONS] == [*CALIBRATIONS]


@pytest.mark.parametrize("method", CALIBRATIONS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32), labels=st.integers(2, 4))
def test_json_keeps_every_bit(method, seed, labels):
    calibration = learnt(method, seed, labels)
    again = from_dict(json.loads(json.dumps(calibration.to_dict())))
    assert again == calibration == from_dict(calibration.to_dict())
    assert hash(again) == hash(calibration)
    scores = 5 * np.random.default_rng(seed + 1).normal(size=(7, labels))
    assert again.apply(scores).tobytes() == calibration.apply(scores).tobytes()


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibrations_pickle_and_print(method):
    calibration = learnt(method)
    assert pickle.loads(pickle.dumps(calibration)) == calibration
    assert repr(calibration).startswith(type(calibration).__name__ + "(")
    with pytest.raises(FrozenInstanceError):
        setattr(calibration, fields(calibration)[0].name, None)


SHIFT = {"method": "batch", "bias": [0.0, 1.0]}
MIXTURE = {"method": "prototypical", "weights": [0.5, 0.5], "means": [[0.0], [1.0]], "covariances": [[[1.0]], [[1.0]]]}
DAMAGED = "a saved calibration is damaged; expected the data of its to_dict, found "
MISTAKES = [
    (
        {"method": "magic"},
        "method='magic' is unknown; expected contextual, domain, pmi, batch, labels, prototypical, temperature",
    ),
    (
        {"method": ["batch"]},
        "method=['batch'] is unknown; expected contextual, domain, pmi, batch, labels, prototypical, temperature",
    ),
    ({}, DAMAGED + "{}"),
    (None, DAMAGED + "None"),
    ([1.0], DAMAGED + "[1.0]"),
    ({"method": "batch"}, DAMAGED + "{'method': 'batch'}"),
    ({"method": "temperature", "bias": [0.0]}, DAMAGED + "{'bias': [0.0], 'method': 'temperature'}"),
    ({**SHIFT, "more": 1}, DAMAGED + "{'bias': [0.0, 1.0], 'method': 'batch', 'more': 1}"),
    ({**SHIFT, "bias": "text"}, "bias: expected 2 finite numbers, found 'text'"),
    ({**SHIFT, "bias": [0.0, None]}, "bias: expected 2 finite numbers, found (0.0, None)"),
    ({**SHIFT, "bias": []}, "bias: expected 2 finite numbers, found ()"),
    ({**SHIFT, "bias": [0, 10**400]}, None),
    ({"method": "temperature", "temperature": "2"}, "temperature: expected 1 finite number, found '2'"),
    ({"method": "temperature", "temperature": True}, "temperature: expected 1 finite number, found True"),
    ({"method": "temperature", "temperature": [2.0]}, "temperature: expected 1 finite number, found (2.0,)"),
    ({**MIXTURE, "weights": [1.0]}, "weights: expected 2 finite numbers, found (1.0,)"),
    ({**MIXTURE, "means": [[0.0], [float("nan")]]}, "means: expected 2 x 1 finite numbers, found ((0.0,), (nan,))"),
    ({**MIXTURE, "covariances": [[[1.0]], [1.0]]}, None),
]


@pytest.mark.parametrize(("data", "message"), MISTAKES)
def test_damaged_data_raises(data, message):
    with pytest.raises(ParameterError) as caught:
        from_dict(data)
    assert message is None or str(caught.value) == message


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=100)
@given(
    method=st.sampled_from([*CALIBRATIONS]),
    data=st.dictionaries(st.sampled_from(["bias", "temperature", "weights", "means", "covariances"]), plain),
)
def test_nothing_but_calibration_errors(method, data):
    try:
        calibration = from_dict({"method": method, **data})
    except ParameterError:
        return
    assert from_dict(calibration.to_dict()) == calibration
