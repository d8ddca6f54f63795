"""Find the rows that a command names: a file, standard input or a data set of Hugging Face."""

import atexit
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from softcloze.cli import hub_data
from softcloze.cli.console import warn
from softcloze.cli.file_format import KINDS, FileFormat, Source, kind_of, validate_options
from softcloze.cli.file_kinds import (
    describe_encoding,
    describe_kind,
    encoding_option,
    head_text,
    likely_encoding,
    read_head,
)
from softcloze.errors import CommandError, FileError
from softcloze.files import expand_user, explain_write_errors
from softcloze.formatting import did_you_mean

GZIP = b"\x1f\x8b"
STANDARD = Path("-")  # input or output


def find_source(path: Path, format: FileFormat) -> Source:
    """Find the file of rows that a command names, or copy them to a temporary one.

    Args:
        path: a file; "-" for standard input; "hf:NAME" for a data set of a hub, or the folder of a saved one.
        format: options of reading it.

    Raises:
        FileError: there is no such file or data set; names it.
        CommandError: an option does not fit the kind of the file, or the kind is not known.
    """
    if path == STANDARD:
        return _from_standard_input(format)
    if str(path).startswith(hub_data.PREFIX):
        return _from_data_set(path, format)
    path = expand_user(path)
    with explain_read_errors(Source(path, str(path), "txt")):
        return _from_path(path, format)


def _from_path(path: Path, format: FileFormat) -> Source:
    if path.is_dir():
        if hub_data.is_saved(path):
            return _from_data_set(path, format)
        raise FileError(f"{path} is a folder, expected a file")
    if not path.exists():
        if path.is_symlink():
            raise FileError(f"{path} is a link to {path.readlink()}, which does not exist")
        others = (other.name for other in path.parent.glob("*"))
        raise FileError(f"there is no file {path}{did_you_mean(path.name, others)}")
    if not path.is_file():
        raise FileError(f"{path} is a pipe or device, and rows are read several times: save them in a file")
    return _with_format(path, str(path), format)


def _from_standard_input(format: FileFormat) -> Source:
    if format.kind is None:
        raise CommandError(
            "FILE - is standard input, whose kind no ending tells: name it with --format, as in --format jsonl"
        )
    if sys.stdin is None:
        raise FileError("standard input is closed")
    path = _temporary_file(f"standard-input.{format.kind}")
    with explain_write_errors(path), path.open("wb") as copy:  # rows are read several times
        shutil.copyfileobj(sys.stdin.buffer, copy)
    return _with_format(path, "standard input", format, is_temporary=True)


def _from_data_set(path: Path, format: FileFormat) -> Source:
    validate_options(format, "parquet", str(path), is_data_set=True)
    if format.kind is not None:
        raise CommandError(f"--format is for files, and {path} is a data set; leave it out")
    copy = _temporary_file("rows.parquet")
    hub_data.write_parquet(str(path), format.split, copy)
    return Source(copy, str(path), "parquet", format, is_temporary=True)


def _temporary_file(name: str) -> Path:
    """The path of a new file, which the end of the process removes."""
    folder = tempfile.mkdtemp(prefix="softcloze-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / name


def _with_format(path: Path, name: str, format: FileFormat, *, is_temporary: bool = False) -> Source:
    """Make the source of a file, after a look at its first bytes."""
    kind = format.kind or kind_of(path)
    with path.open("rb") as file:
        is_compressed = file.read(len(GZIP)) == GZIP
    source = Source(path, name, kind or "txt", format, is_compressed, is_temporary)
    with explain_read_errors(source):
        head = read_head(source)
        problem = describe_kind(source, head, is_known=kind is not None)
    if problem is not None:
        raise FileError(f"{name} {problem}")
    if kind is None:
        endings = ", ".join(KINDS)
        raise FileError(
            f"{name} has an unknown ending {path.suffix!r}; expected {endings}, or name its kind with --format"
        )
    validate_options(format, kind, name)
    if not format.is_utf8 and not head.isascii() and likely_encoding(head) == "utf-8":
        warn(f"{name} can be read as UTF-8 too; if letters come out wrong, leave out --encoding {format.encoding}")
    if kind == "json" and head_text(source, head).startswith("{"):
        return replace(source, kind="jsonl")
    return source


@contextmanager
def explain_read_errors(source: Source, advise: Callable[[str], str] = encoding_option) -> Iterator[None]:
    """Turn errors of reading into a FileError about the file; `advise` as for `describe_encoding`."""
    try:
        yield
    except UnicodeError as error:
        raise FileError(f"{source} {describe_encoding(source, advise)}") from error
    except (EOFError, zlib.error) as error:
        raise FileError(f"cannot read {source}: the compressed data is damaged or cut off: {error}") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {source}: {error.strerror or error}") from error
