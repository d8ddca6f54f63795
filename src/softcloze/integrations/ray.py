"""Ray Data: label a dataset on a cluster with a pool of actors. Needs softcloze[ray]."""

import os
from typing import TYPE_CHECKING, Any

from softcloze.batch import BatchScorer
from softcloze.errors import ParameterError
from softcloze.parameters import NONE, POSITIVE, instance_of, integer, validate_parameters
from softcloze.prompt.streaming import WINDOW

if TYPE_CHECKING:
    from ray.data import Dataset

_CONSTRAINTS = {
    "actors": integer(at_least=1) | NONE,
    "num_cpus": POSITIVE,
    "batch_size": integer(at_least=1),
}


class _Actor:
    """A process of the pool, which loads the prompt once."""

    def __init__(self, scorer: BatchScorer):
        scorer.load()
        self.scorer = scorer

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - a table of pyarrow
        return self.scorer(batch)


def score_with_ray(
    dataset: "Dataset",
    prompt: "str | os.PathLike[str] | BatchScorer",
    *,
    actors: int | None = None,
    num_cpus: float = 1,
    batch_size: int = 8 * WINDOW,
) -> "Dataset":
    """Label the rows of a dataset, in their order, when it is consumed.

    Ray restarts an actor that dies and repeats its batch. A row that cannot be scored has its reason in `error`. The
    rows are divided into blocks of a batch each, whatever the blocks of the dataset are, so that all actors have work.
    Ray sends reports of usage unless the environment has RAY_USAGE_STATS_ENABLED=0 before it starts.

    Args:
        dataset: with the fields of the template as columns. Read under a `checkpoint_config` of Ray, it resumes.
        prompt: folder of a saved prompt, or a `BatchScorer`, which has more options.
        actors: processes that score, each with the model; None for as many as fit on all processors but one, or with
            a checkpoint but two.
        num_cpus: processors of an actor; below 1, several share one. Torch takes as many threads.
        batch_size: rows that an actor takes at a time; with a multiple of 256, probabilities are those of
            `softcloze predict` to the last bit, as the same rows share a window.

    Returns:
        A dataset with the new columns of `BatchScorer`, to be written or consumed once.

    Raises:
        ParameterError: a parameter is wrong, or the actors leave no processor to read the rows.
        ArtifactError: the prompt is damaged.
        ModuleNotFoundError: Ray is not installed.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy
    except ImportError as error:
        message = "score_with_ray needs Ray; install it with pip install 'softcloze[ray]'"
        raise ModuleNotFoundError(message, name="ray") from error
    validate_parameters({"actors": actors, "num_cpus": num_cpus, "batch_size": batch_size}, _CONSTRAINTS)
    validate_parameters({"dataset": dataset}, {"dataset": instance_of("a dataset of Ray", ray.data.Dataset)})
    scorer = prompt if isinstance(prompt, BatchScorer) else BatchScorer(prompt, threads=max(1, int(num_cpus)))
    cpus = ray.cluster_resources().get("CPU", 0)
    resumes = getattr(dataset.context, "checkpoint_config", None) is not None
    spare = 2 if resumes else 1  # Ray leaves out the rows of a checkpoint in an actor of its own
    size = actors if actors is not None else max(1, int((cpus - spare) / num_cpus))
    if size * num_cpus > cpus - spare:
        need = "2 are needed to read rows and leave out finished ones" if resumes else "1 is needed to read rows"
        raise ParameterError(
            f"{size} actors of {num_cpus:g} CPUs leave {max(0, cpus - size * num_cpus):g} of the {cpus:g} CPUs of the "
            f"cluster, and {need}, without which the job would hang: take fewer actors, a smaller num_cpus, as 0.5, or "
            "a larger ray.init(num_cpus=...)"
        )
    dataset.context.execution_options.preserve_order = True
    blocks = dataset.repartition(target_num_rows_per_block=batch_size, strict=True)
    return blocks.map_batches(
        _Actor,
        fn_constructor_args=(scorer,),
        compute=ActorPoolStrategy(size=size),
        num_cpus=num_cpus,
        batch_size=batch_size,
        batch_format="pyarrow",
    )
