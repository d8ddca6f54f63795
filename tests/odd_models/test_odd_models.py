"""Each odd set-up of a model scores as plain transformers does, or raises one error that names the reason."""

import pytest
from support.odd_models import SETUPS, largest_difference, plain_scores

NAMES = [pytest.param(name, marks=[pytest.mark.slow] * entry.slow) for name, entry in SETUPS.items()]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_set_up_scores_as_plain_transformers_or_raises(name, tmp_path):
    entry = SETUPS[name]
    setup = entry.build(tmp_path)
    if entry.refusal is None:
        assert largest_difference(setup) <= entry.tolerance
    else:
        error, word = entry.refusal
        with pytest.raises(error, match=word):
            largest_difference(setup)


def test_the_measure_sees_a_difference():
    """Scores of another prompt differ by far more than the tolerance, and so do those of other weights."""
    setup, other = (SETUPS[name].build(None) for name in ("no pad token", "untied head, causal"))
    one, two, moved = (plain_scores(case, tail, 64) for case, tail in ((setup, ""), (setup, "."), (other, "")))
    assert (one - two).abs().min() > 1e-2
    assert (one - moved).abs().min() > 1e-2
