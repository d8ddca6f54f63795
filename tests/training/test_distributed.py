"""A fit in several processes is that of one process."""

import numpy as np
import pytest
from support import fit_in_processes

EXACT = ["exact", "cached", "stopping", "several", "answers", "tasks", "linear"]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def two(folder):
    cases = [*EXACT, "default", "seedless", "other rows", "not finite", "connected before", "killed"]
    return fit_in_processes.results(2, folder, *cases)


@pytest.fixture(scope="module")
def by_two(two):
    return two[1]


@pytest.fixture(scope="module")
def by_three(folder, two):
    return fit_in_processes.results(3, folder, *EXACT, "default", "resumed", "too many")[1]


@pytest.fixture(scope="module")
def alone(folder):
    return {case: fit_in_processes.fit(case, folder / "alone") for case in [*EXACT, "default"]}


@pytest.mark.parametrize("case", EXACT)
def test_vectors_and_history_are_the_same_to_the_bit(alone, by_two, by_three, case):
    expected = {**alone[case], "told": None}
    reports = [*by_two[case], *by_three[case]]
    assert [{**report, "told": None} for report in reports] == [expected] * 5
    epochs = len(expected["history"])
    assert [report["told"] for report in reports] == [epochs, 0, epochs, 0, 0]  # by the first process


def test_by_default_they_are_the_same_but_for_rounding(alone, by_two, by_three):
    expected = alone["default"]
    for report in [*by_two["default"], *by_three["default"]]:
        vectors, others = (np.array(one["vectors"]["#1"]) for one in (expected, report))
        assert np.abs(others - vectors).max() <= 1e-5 * np.abs(vectors).max()
        assert [record["accuracy"] for record in report["history"]] == [r["accuracy"] for r in expected["history"]]


def test_a_killed_process_ends_all_and_another_number_resumes(alone, two, by_three):
    done, _ = two
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert {**by_three["resumed"][0], "told": None} == {**alone["exact"], "told": None}
    assert by_three["resumed"][0]["told"] == 1  # the second of two epochs


def test_a_seed_is_drawn_once(by_two):
    first, second = by_two["seedless"]
    assert first["seed"] == second["seed"] and first["vectors"] == second["vectors"]


def test_a_group_of_the_caller_is_used_and_left(alone, by_two):
    assert [report["vectors"] for report in by_two["connected before"]] == [alone["exact"]["vectors"]] * 2


def test_errors_end_all_processes(by_two, by_three):
    for report in by_two["other rows"]:
        assert "have different examples or parameters" in report["error"]
        assert "give each of them all examples" in report["error"]
    for report in by_three["too many"]:
        assert report["error"].endswith("make at most 2 parts: start 2, or raise batch_size=2")
    first, second = (report["error"] for report in by_two["not finite"])
    assert second.startswith("NonFiniteError: the loss is NaN or infinite in epoch 1, step 1 of 3")
    assert first == f"ProcessError: process 1 of 2 failed: {second}"
