import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softcloze.data import few_shot
from softcloze.errors import ParameterError


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), st.integers(1, 4), st.integers(0, 2**31))
def test_as_many_of_each_class_without_repetition(labels, shots, seed):
    if any(labels.count(label) < shots for label in set(labels)):
        with pytest.raises(ParameterError):
            few_shot(labels, shots, seed)
        return
    rows = few_shot(labels, shots, seed)
    assert rows == sorted(set(rows)) == few_shot(labels, shots, seed)
    assert all([labels[i] for i in rows].count(label) == shots for label in set(labels))


def test_the_global_generator_is_not_used():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    draws = {tuple(few_shot([0, 1] * 50, 3, seed)) for seed in range(20)}
    assert np.random.random() == expected
    assert len(draws) > 15


def test_messages():
    for shots in (0, "2", 1.5, True):
        with pytest.raises(ParameterError, match=f"shots={shots!r}, but it has to be an integer of at least 1"):
            few_shot(["a"], shots, 0)
    with pytest.raises(ParameterError, match="random_state='0', but it has to be an integer of at least 0"):
        few_shot(["a"], 1, "0")
    with pytest.raises(ParameterError, match="3 rows of each class are wanted, but 'b' has 1; ask for fewer"):
        few_shot(["a", "a", "a", "b"], 3, 0)
