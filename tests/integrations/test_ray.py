"""Ray on this machine: the rows, labels and order of softcloze predict, whatever dies on the way."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from support.labelled_rows import ROWS, expected_rows, make_folder, validate_rows

from softcloze import BatchScorer
from softcloze.errors import ArtifactError, ParameterError
from softcloze.integrations.ray import score_with_ray

ray = pytest.importorskip("ray")
CheckpointConfig = pytest.importorskip("ray.data.checkpoint").CheckpointConfig

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns of itself


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    make_folder(folder)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return expected_rows(folder)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine, with three processors, be there fewer, and without reports of usage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=3, include_dashboard=False, object_store_memory=200_000_000, logging_level="error")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for classes of these tests
        yield
        ray.shutdown()


@pytest.fixture
def dataset(folder):
    return ray.data.read_parquet(str(folder / "big.parquet"), override_num_blocks=8)


def table(dataset):
    return pyarrow.concat_tables(ray.get(dataset.to_arrow_refs()))


@pytest.mark.parametrize("options", [{}, {"num_cpus": 0.5, "actors": 2, "batch_size": 256}])
def test_rows_are_those_of_predict_in_their_order(options, dataset, folder, expected):
    validate_rows(table(score_with_ray(dataset, folder / "my-prompt", **options)), expected)


def test_a_scorer_has_more_options(dataset, folder, expected):
    scored = score_with_ray(dataset, BatchScorer(folder / "my-prompt", threads=1, column="predicted"))
    assert table(scored)["predicted"].to_pylist() == expected["label"].to_pylist()


def test_one_block_is_divided_among_all_actors(folder, expected):
    """As many batches as with many blocks, each of the rows that share a window in softcloze predict."""
    rows = pyarrow.parquet.read_table(folder / "big.parquet").combine_chunks()
    dataset = ray.data.from_arrow(rows)
    assert dataset.num_blocks() == 1
    scored = score_with_ray(dataset, folder / "my-prompt", actors=2, num_cpus=0.5, batch_size=256).materialize()
    assert scored.num_blocks() == -(-ROWS // 256)
    assert table(scored) == expected


class Dying(BatchScorer):
    """A scorer whose process is killed when it has scored a batch for the first time, for ten batches."""

    def __call__(self, batch):
        scored = super().__call__(batch)
        deaths = Path(self.deaths)
        if len([*deaths.iterdir()]) < 10:
            with suppress(FileExistsError):
                (deaths / str(batch["id"][0])).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return scored


def test_ten_actors_killed_take_no_row_with_them(dataset, folder, expected, tmp_path):
    scorer = Dying(folder / "my-prompt", threads=1)
    scorer.deaths = str(tmp_path)
    scored = score_with_ray(dataset, scorer, actors=2, num_cpus=0.5, batch_size=128)
    validate_rows(table(scored), expected)
    assert len([*tmp_path.iterdir()]) >= 10  # both may die at once


DRIVER = """
import sys, time
from pathlib import Path

import ray
from ray.data import DataContext
from ray.data.checkpoint import CheckpointConfig

from softcloze import BatchScorer
from softcloze.integrations.ray import score_with_ray

folder, address = Path(sys.argv[1]), sys.argv[2]


class Waiting(BatchScorer):
    def __call__(self, batch):
        while batch["id"][0].as_py() >= 1000 and not (folder / "go").exists():
            time.sleep(0.05)
        return super().__call__(batch)


ray.init(address)
DataContext.get_current().checkpoint_config = CheckpointConfig("id", str(folder / "checkpoint"))
reviews = ray.data.read_parquet(str(folder / "big.parquet"))
scorer = Waiting(folder / "my-prompt", threads=1)
score_with_ray(reviews, scorer, actors=1, num_cpus=0.5, batch_size=128).write_parquet(str(folder / "scores"))
"""


def test_a_driver_that_is_killed_resumes_from_the_checkpoint_of_ray(folder, expected):
    """The driver is killed in the second half of the rows, and run again."""
    context = ray.get_runtime_context()
    command = [sys.executable, "-c", DRIVER, str(folder), context.gcs_address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while driver.poll() is None and len([*folder.glob("checkpoint/*.parquet")]) < 3:
            time.sleep(0.05)
        driver.kill()
    written = sum(pyarrow.parquet.read_metadata(path).num_rows for path in folder.glob("scores/*.parquet"))
    assert 0 < written < ROWS
    (folder / "go").touch()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=240)
    scored = pyarrow.concat_tables(map(pyarrow.parquet.read_table, folder.glob("scores/*.parquet")))
    validate_rows(scored.sort_by("id"), expected)
    assert not (folder / "checkpoint").exists()


def test_a_checkpoint_takes_one_more_processor(dataset, folder):
    dataset.context.checkpoint_config = CheckpointConfig("id", str(folder / "another"))
    with pytest.raises(ParameterError, match=r"leave 1 of the 3 CPUs .* 2 are needed to read rows and leave out"):
        score_with_ray(dataset, folder / "my-prompt", actors=2)


def test_actors_on_all_processors_are_an_error_and_no_hang(dataset, folder):
    for options in ({"actors": 3}, {"actors": 1, "num_cpus": 3}, {"num_cpus": 4}):
        with pytest.raises(ParameterError, match="of the 3 CPUs of the cluster, and 1 is needed to read rows"):
            score_with_ray(dataset, folder / "my-prompt", **options)


@pytest.mark.parametrize("wrong", [{"actors": 0}, {"num_cpus": 0}, {"batch_size": "2"}])
def test_parameters_are_checked(wrong, dataset, folder):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        score_with_ray(dataset, folder / "my-prompt", **wrong)


def test_mistakes_are_errors_before_any_work(dataset, folder, tmp_path):
    with pytest.raises(ParameterError, match="dataset="):
        score_with_ray([{"text": "a"}], folder / "my-prompt")
    with pytest.raises(ArtifactError):
        score_with_ray(dataset, tmp_path / "nowhere")
