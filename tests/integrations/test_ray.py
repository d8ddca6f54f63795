"""Ray on this machine: the rows, labels and order of softcloze predict, whatever dies on the way."""

import sys
from contextlib import suppress

import psutil
import pyarrow
import pyarrow.parquet
import pytest
from support import models

from softcloze import BatchScorer, PromptClassifier
from softcloze.cli import main
from softcloze.errors import ArtifactError, ParameterError
from softcloze.integrations.ray import score_with_ray

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns of itself
ROWS = 2000
WORDS = {"positive": ["good", "great"], "negative": ["bad", "terrible"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prompt, rows of which some are bad, and what softcloze predict makes of them."""
    folder = tmp_path_factory.mktemp("ray")
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    PromptClassifier(str(folder / "model"), "<text> It was <mask>", WORDS).save(folder / "prompt")
    texts = [None if i % 400 == 7 else f"{models.SENTENCES[i % 24]} {i}"[i % 9 :] for i in range(ROWS)]
    rows = pyarrow.table({"id": [*range(ROWS)], "text": texts})
    pyarrow.parquet.write_table(rows, folder / "rows.parquet", row_group_size=250)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.chdir(folder)
        command = ["softcloze", "predict", "rows.parquet", "--prompt", "prompt", "--out", "whole.parquet"]
        patch.setattr(sys, "argv", command)
        main()
    assert stop.value.code == 0
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return pyarrow.parquet.read_table(folder / "whole.parquet").rename_columns({"predicted": "label"})


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine, with three processors, be there fewer, and without reports of usage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=3, include_dashboard=False, object_store_memory=200_000_000, logging_level="error")
        yield
        ray.shutdown()


@pytest.fixture
def dataset(folder):
    return ray.data.read_parquet(str(folder / "rows.parquet"), override_num_blocks=8)


def table(dataset):
    return pyarrow.concat_tables(ray.get(dataset.to_arrow_refs()))


def validate(found, expected):
    """The rows are those of one run; blocks share windows in another way, which changes the last digits."""
    names = expected.column_names[3:5]
    assert found.drop(names) == expected.drop(names)
    for name in names:
        assert found[name].to_pylist() == [
            value if value is None else pytest.approx(value, abs=1e-4) for value in expected[name].to_pylist()
        ]


@pytest.mark.parametrize("options", [{}, {"num_cpus": 0.5, "actors": 2, "batch_size": 256}])
def test_rows_are_those_of_predict_in_their_order(options, dataset, folder, expected):
    validate(table(score_with_ray(dataset, folder / "prompt", **options)), expected)


def test_a_scorer_has_more_options(dataset, folder, expected):
    scored = score_with_ray(dataset, BatchScorer(folder / "prompt", threads=1, column="predicted"))
    assert table(scored)["predicted"].to_pylist() == expected["label"].to_pylist()


def test_actors_that_die_take_no_row_with_them(dataset, folder, expected):
    scored = score_with_ray(dataset, folder / "prompt", actors=1, batch_size=16)
    killed, batches = set(), []
    for batch in scored.iter_batches(batch_size=16, batch_format="pyarrow"):
        batches.append(batch)
        if len(killed) < 3:
            for process in actors():
                with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                    process.kill()
                    killed.add(process.pid)
    assert killed
    validate(pyarrow.concat_tables(batches), expected)


def actors():
    """The processes of actors on this machine."""
    running = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # which a zombie is too
            if "_Actor" in "".join(process.cmdline()):
                running.append(process)
    return running


def test_actors_on_all_processors_are_an_error_and_no_hang(dataset, folder):
    for options in ({"actors": 3}, {"actors": 1, "num_cpus": 3}, {"num_cpus": 4}):
        with pytest.raises(ParameterError, match="of the 3 CPUs of the cluster, and 1 is needed to read rows"):
            score_with_ray(dataset, folder / "prompt", **options)


@pytest.mark.parametrize("wrong", [{"actors": 0}, {"num_cpus": 0}, {"batch_size": "2"}])
def test_parameters_are_checked(wrong, dataset, folder):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        score_with_ray(dataset, folder / "prompt", **wrong)


def test_mistakes_are_errors_before_any_work(dataset, folder, tmp_path):
    with pytest.raises(ParameterError, match="dataset="):
        score_with_ray([{"text": "a"}], folder / "prompt")
    with pytest.raises(ArtifactError):
        score_with_ray(dataset, tmp_path / "nowhere")
