"""Data sets of Hugging Face, of a hub or saved in a folder, as Parquet files."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softcloze.cli.parquet_rows import CHUNK, import_parquet
from softcloze.errors import CommandError, FileError
from softcloze.formatting import did_you_mean, quoted_list

if TYPE_CHECKING:
    from datasets import Dataset

PREFIX = "hf:"


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` of datasets wrote the folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def write_parquet(name: str, split: str | None, target: Path) -> None:
    """Write the rows of a data set to a Parquet file, a batch at a time; classes become their names.

    Args:
        name: "hf:NAME" or "hf:NAME:CONFIGURATION" for a data set of a hub, or the folder of a saved one.
        split: name of the split; None for the only one.
        target: the file.

    Raises:
        CommandError: datasets is not installed, or a split has to be named.
        FileError: there is no such data set or split, or no hub is reached.
    """
    parquet = import_parquet()
    data = _load(name, split)
    classes = {column: feature.names for column, feature in data.features.items() if hasattr(feature, "int2str")}
    writer = None
    for batch in data.with_format("arrow").iter(CHUNK):
        for column, names in classes.items():
            batch = batch.set_column(batch.column_names.index(column), column, _named(batch[column], names))
        if writer is None:
            batch = batch.replace_schema_metadata(None)
            writer = parquet.ParquetWriter(target, batch.schema)
        writer.write_table(batch)
    if writer is None:
        raise FileError(f"{name} is empty: it holds no rows")
    writer.close()


def _named(numbers: Any, names: list[str]) -> Any:  # noqa: ANN401 - arrays of pyarrow
    """Classes by their names; null where a row has none, which datasets writes as -1."""
    import pyarrow
    from pyarrow import compute

    known = compute.if_else(compute.greater_equal(numbers, 0), numbers, None)
    return compute.take(pyarrow.array(names, pyarrow.string()), known)


def _load(name: str, split: str | None) -> "Dataset":
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise CommandError(
            f"{name} is read with datasets, which is not installed; install it with: pip install 'softcloze[files]'"
        ) from error
    datasets.disable_progress_bars()
    try:
        if name.startswith(PREFIX):
            dataset, _, configuration = name.removeprefix(PREFIX).partition(":")
            data = datasets.load_dataset(dataset, configuration or None)
        else:
            data = datasets.load_from_disk(name)
    except Exception as error:
        offline = (
            "; without a hub, name a folder that save_to_disk of datasets wrote" if name.startswith(PREFIX) else ""
        )
        raise FileError(f"cannot load {name}: {next(iter(str(error).splitlines()), repr(error))}{offline}") from error
    if not isinstance(data, Mapping):
        if split is not None:
            raise CommandError(f"{name} has no splits: leave out --split")
        return data
    if split is None and len(data) > 1:
        raise CommandError(f"{name} has the splits {quoted_list(data)}: name one with --split")
    if split is not None and split not in data:
        raise FileError(f"{name} has no split {split!r}; it has {quoted_list(data)}{did_you_mean(split, data)}")
    return data[split if split is not None else next(iter(data))]
