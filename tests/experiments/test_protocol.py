import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softcloze.data import few_shot
from softcloze.errors import ParameterError
from softcloze.experiments import Protocol

LABELS = ["很好"] * 60 + ["差"] * 30 + ["一般"] * 10


def counts(rows):
    return [sum(LABELS[row] == label for row in rows) for label in ("很好", "差", "一般")]


def test_draws_are_balanced_as_few_shot_has_them():
    draws = Protocol(shots=(2, 8), seeds=(3, 5)).draws(LABELS)
    assert list(draws) == [(2, 3), (2, 5), (8, 3), (8, 5)]
    assert all(list(rows) == few_shot(LABELS, *key) for key, rows in draws.items())


SHARES = [
    (4, False, [7, 4, 1]),  # 12 rows: 7.2, 3.6 and 1.2 of the classes
    (1, False, [1, 1, 1]),  # one at least of each
    (0.1, True, [6, 3, 1]),
    (0.01, True, [1, 1, 1]),
    ("all", True, [60, 30, 10]),
    (0, True, [0, 0, 0]),
]


@pytest.mark.parametrize(("shots", "balanced", "expected"), SHARES)
def test_classes_keep_their_shares(shots, balanced, expected):
    draws = Protocol(shots=shots, seeds=3, balanced=balanced).draws(LABELS)
    assert [counts(rows) for rows in draws.values()] == [expected] * 3
    assert all(rows == tuple(sorted(set(rows))) for rows in draws.values())
    if 0 < sum(expected) < len(LABELS):
        assert len(set(draws.values())) == 3  # each seed draws other rows


@given(
    st.lists(st.integers(0, 200) | st.floats(0.001, 0.999) | st.just("all"), min_size=1, max_size=4, unique=True),
    st.integers(1, 5) | st.lists(st.integers(0, 99), min_size=1, unique=True),
    st.integers(1, 10_000) | st.none(),
    st.booleans(),
    st.floats(0.01, 0.99),
)
def test_a_saved_protocol_is_the_same(shots, seeds, test_rows, balanced, development):
    protocol = Protocol(shots, seeds, test_rows, balanced, development)
    again = Protocol.from_dict(json.loads(json.dumps(protocol.to_dict())))
    assert again == protocol and again.hash == protocol.hash
    assert again.to_dict() == protocol.to_dict()


def test_a_changed_protocol_is_refused():
    saved = Protocol().to_dict()
    with pytest.raises(ParameterError, match="do not match their hash"):
        Protocol.from_dict({**saved, "test_rows": 10})
    for other in ([], {}, "a text", {**saved, "more": 1}):
        with pytest.raises(ParameterError, match="not a protocol as to_dict returns it"):
            Protocol.from_dict(other)


def test_settings_are_chosen_on_a_share_where_that_is_enough_and_else_by_cross_validation():
    labels = np.array(["a", "b"] * 40)
    ((learn, choose),) = Protocol(development=0.25).folds(labels, 0)
    assert (len(learn), len(choose)) == (60, 20) and not {*learn} & {*choose}
    folds = Protocol(development=0.25).folds(labels[:32], 0)  # a quarter of 16 of each would be 4
    assert len(folds) == 4
    assert sorted(np.concatenate([choose for _, choose in folds]).tolist()) == list(range(32))
    assert len(Protocol().folds(["a", "a", "a", "b", "b"], 0)) == 2


SIZES = "but it has to be an integer of at least 0 or a number between 0 and 1 or 'all'"
MISTAKES = [
    ({"shots": -1}, f"shots=-1, {SIZES}"),
    ({"shots": 1.5}, f"shots=1.5, {SIZES}"),
    ({"shots": 2.0}, f"shots=2.0, {SIZES}"),
    ({"shots": True}, f"shots=True, {SIZES}"),
    ({"shots": "4"}, f"shots='4', {SIZES}"),
    ({"shots": "most"}, f"shots='most', {SIZES}"),
    ({"shots": None}, f"shots=None, {SIZES}"),
    ({"shots": {4}}, r"shots=\{4\}, but it has to be"),
    ({"shots": [4, "16"]}, f"shots='16', {SIZES}"),
    ({"shots": (4, 4)}, "expected one or more distinct values"),
    ({"shots": (4, np.int64(4))}, "expected one or more distinct values"),
    ({"seeds": 0}, r"seeds=\(\): expected one or more"),
    ({"seeds": 10**20}, "seeds=1000.*, but it has to be a number of seeds up to 10000, or a list"),
    ({"seeds": 1.5}, "seeds=1.5, but it has to be an integer from 0 to"),
    ({"seeds": "3"}, "seeds='3', but"),
    ({"seeds": True}, "seeds=True, but"),
    ({"seeds": [0, 1.5]}, "seeds=1.5, but"),
    ({"seeds": [-1]}, "seeds=-1, but"),
    ({"seeds": [2**32]}, "seeds=4294967296, but it has to be an integer from 0 to"),
    ({"test_rows": 0}, "test_rows=0, but it has to be an integer of at least 1 or None"),
    ({"test_rows": "20"}, "test_rows='20', but"),
    ({"test_rows": 20.0}, "test_rows=20.0, but"),
    ({"balanced": "no"}, "balanced='no', but it has to be True or False"),
    ({"development": 1}, "development=1, but it has to be a number between 0 and 1"),
    ({"development": "0.5"}, "development='0.5', but"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_mistakes(settings, message):
    with pytest.raises(ParameterError, match=message):
        Protocol(**settings)


def test_numbers_of_numpy_are_numbers():
    protocol = Protocol(np.array([4, 16]), np.int64(2), np.int32(50), np.True_, np.float32(0.5))
    assert protocol == Protocol((4, 16), 2, 50, True, 0.5)
    assert Protocol.from_dict(json.loads(json.dumps(protocol.to_dict()))) == protocol
    assert Protocol(seeds=np.array([3, 5])) == Protocol(seeds=(3, 5))


def test_too_few_rows():
    with pytest.raises(ParameterError, match="11 rows of each class are wanted, but '一般' has 10"):
        Protocol(shots=11).draws(LABELS)
    with pytest.raises(ParameterError, match=r"shots=35 needs more examples than a class has: .*'很好': 60"):
        Protocol(shots=35, balanced=False).draws(LABELS)
    with pytest.raises(ParameterError, match="a class has a single example"):
        Protocol().folds(["a", "a", "b"], 0)
