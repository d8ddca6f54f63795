"""The files of a model: a starter, a folder, a GGUF file, or a name on a hub."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

from softcloze.errors import BackboneError, SoftclozeError
from softcloze.formatting import nearest
from softcloze.starters import MODELS, STARTER, fetch_model

IN_MEMORY = "in memory: "  # prefix of the name of a model that has none of its own
EXPECTED = (
    "expected a model name of a hub, a folder in transformers format, a .gguf file, or starter:NAME "
    "(softcloze models lists those)"
)
_HUB_NAME = re.compile(r"(?!.*(?:--|\.\.))\w[\w.-]*(?:/\w[\w.-]*)?", re.ASCII)
_LAYERS = re.compile(rb"\.block_count\x04\x00\x00\x00(....)", re.DOTALL)  # the key, the type uint32, and the number
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Location(NamedTuple):
    """The files of a model, with a stamp that changes when they change.

    Attributes:
        name: the name as it was given.
        path: the absolute path of a folder, or a name on a hub.
        gguf: the name of a GGUF file in the folder; "" for other kinds.
        stamp: name, size and time of change of every file; empty for a hub.
    """

    name: str
    path: str
    gguf: str = ""
    stamp: tuple[tuple[str, int, int], ...] = ()

    @property
    def is_local(self) -> bool:
        """True for files on this machine, False for a name on a hub."""
        return Path(self.path).is_absolute()

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for `from_pretrained`; no code of a model is ever run, and none is asked about."""
        return {"trust_remote_code": False} | ({"gguf_file": self.gguf} if self.gguf else {})


def is_hub_name(name: str) -> bool:
    """Return whether a model's name is one of a hub: no starter, nothing in memory, and no file or folder here.

    >>> is_hub_name("google-bert/bert-base-uncased"), is_hub_name("starter:bert-tiny"), is_hub_name("/models/bert")
    (True, False, False)
    """
    return _HUB_NAME.fullmatch(name) is not None and not Path(name).exists()


def locate(name: str) -> Location:
    """Find the files that a model's name means here and now; a relative path counts from the current folder.

    Raises:
        BackboneError: no such folder or file, or a name that no hub can have.
        StarterError: a starter cannot be fetched.
    """
    if not name.strip():
        raise cannot_load(name, "the name is empty", EXPECTED)
    if name.startswith(IN_MEMORY):
        raise cannot_load(name, "it was given in memory and had no name", "give it again: model=(model, tokenizer)")
    if name.startswith(STARTER):
        return folder_location(name, fetch_model(name.removeprefix(STARTER)))
    try:
        path = Path(name).expanduser().absolute()
        if path.is_dir():
            return folder_location(name, path)
        if path.is_file():
            if path.suffix == ".gguf":
                return Location(name, str(path.parent), path.name, (_stamp(path),))
            raise cannot_load(name, f"{path} is a file; give its folder, or a .gguf file")
    except (RuntimeError, OSError, ValueError) as error:  # no home folder; a path that is too long; a null character
        if isinstance(error, SoftclozeError):
            raise
        raise cannot_load(name, str(error), EXPECTED) from error
    if name.endswith(".gguf"):
        raise cannot_load(name, f"there is no file {path}")
    if not _HUB_NAME.fullmatch(name):
        raise cannot_load(name, f"there is no folder {path}", EXPECTED)
    return Location(name, name)


def cannot_load(name: str, reason: str, *more: str) -> BackboneError:
    """The error about a model that cannot be loaded, with lines that say how to mend it."""
    lines = [f"cannot load the model {name!r}: {reason}", *more]
    if name.startswith(STARTER):
        remove = f"softcloze.starters.remove({name.removeprefix(STARTER)!r})"
        lines.append(f"{remove} removes damaged files from the cache; the next use fetches them again")
    return BackboneError("\n  ".join(lines))


def folder_location(name: str, path: Path) -> Location:
    """The location of a folder that a name means."""
    return Location(name, str(path), stamp=tuple(sorted(_stamp(file) for file in path.iterdir() if not file.is_dir())))


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:  # a dangling link
        return path.name, -1, -1
    return path.name, stat.st_size, stat.st_mtime_ns


def validated(location: Location) -> Location:
    """Check the files of a model, or that the hub has it; a downloaded model of a hub out of reach becomes a folder.

    Raises:
        BackboneError: the files cannot be a model, or the hub has none of this name.
    """
    if not location.is_local:
        location = _on_hub(location)
    if location.is_local:
        _validate_files(location)
    return location


def _validate_files(location: Location) -> None:
    """Raise BackboneError if files on this machine cannot be a model in transformers format.

    Only those that are small or have a known beginning are opened.
    """
    folder = Path(location.path)
    for name, size, _ in location.stamp:
        if 0 < size < 1024:
            with (folder / name).open("rb") as file:
                if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                    problem = f"{folder / name} is a pointer of Git LFS in place of the file itself"
                    raise cannot_load(location.name, problem, f"run git lfs pull in {folder}")
    if location.gguf:
        with (folder / location.gguf).open("rb") as file:
            header = file.read(2**16)
        if not header.startswith(b"GGUF"):
            raise cannot_load(location.name, "it is not a GGUF file: it does not begin with GGUF")
        tensors, layers = int.from_bytes(header[8:16], "little"), _LAYERS.search(header)
        # transformers would make all of them before it looks for their weights
        if layers is not None and (number := int.from_bytes(layers[1], "little")) > tensors:
            problem = f"its header is damaged: it names {number:,} layers and {tensors:,} tensors"
            raise cannot_load(location.name, problem)
        return
    if (folder / "adapter_config.json").is_file():
        base = _json(location, "adapter_config.json").get("base_model_name_or_path")
        raise cannot_load(
            location.name,
            f"the folder holds a PEFT adapter of {base!r}, and not a model",
            "load both with peft: model=(PeftModel.from_pretrained(base, folder).merge_and_unload(), tokenizer)",
        )
    if not (folder / "config.json").is_file():
        raise cannot_load(location.name, f"{folder} holds no config.json, {_content(folder)}", EXPECTED)
    kind = _json(location, "config.json").get("model_type")
    if not isinstance(kind, str):
        problem = f"its config.json has the model_type {kind!r}"
        raise cannot_load(location.name, problem, 'expected one that transformers knows, such as "bert"')


def _json(location: Location, file: str) -> dict[str, Any]:
    path = Path(location.path) / file
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise cannot_load(location.name, f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise cannot_load(location.name, f"{path} does not hold an object in braces")
    return content


def _content(folder: Path) -> str:
    """Describe the content of a folder without a config.json, with a hint at the model that may be meant."""
    names = sorted(path.name for path in folder.iterdir())
    if "prompt.json" in names:
        return "and is a saved prompt: open it with PromptClassifier.load"
    inside = [name for name in names if (folder / name / "config.json").is_file()]
    if inside:
        return f"but {folder / inside[-1]} does"
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs:
        return f"but a GGUF file: give {folder / ggufs[0]}"
    return f"only {', '.join(names[:6])}{' …' if names[6:] else ''}" if names else "it is empty"


def _on_hub(location: Location) -> Location:
    """The location itself, or its folder in the cache if the hub cannot be reached, so that nothing retries in vain.

    Raises:
        BackboneError: the hub has no such model; or it cannot be reached, and the cache has none.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    name = location.name
    starter = nearest(name, MODELS)
    hint = "" if starter is None else f"; did you mean {STARTER + starter!r}?"
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"))
    except GatedRepoError as error:
        raise cannot_load(name, f"it needs a login: {error}") from error
    except RepositoryNotFoundError as error:
        problem = f"there is neither a folder nor a model on the hub of this name{hint}"
        raise cannot_load(name, problem, "a private one needs a login: hf auth login", EXPECTED) from error
    except EntryNotFoundError as error:
        problem = "it has no config.json on the hub, and is not in transformers format"
        raise cannot_load(name, problem, "an adapter is loaded with peft; download a .gguf file") from error
    except Exception as error:  # several libraries' errors of connections, and offline mode
        cached = try_to_load_from_cache(name, "config.json")
        if not isinstance(cached, str):
            problem = f"there is no folder and no downloaded model of this name{hint}"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise cannot_load(name, problem, f"the hub cannot be reached: {reason}", EXPECTED) from error
        return folder_location(name, Path(cached).parent)
    return location


@contextmanager
def reading(location: Location, part: str) -> Iterator[None]:
    """Raise BackboneError with the model's name for whatever transformers, torch and safetensors raise.

    Args:
        location: the files of the model.
        part: the part of the model that is read, such as "weights".
    """
    try:
        yield
    except SoftclozeError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            problem = "it has Python code of its own (auto_map in its configuration), which softcloze never runs"
            raise cannot_load(location.name, problem, "take one whose architecture transformers knows") from error
        reason = str(error).strip().split("\n\n")[0]
        pickled = any(name.endswith(".bin") for name, _, _ in location.stamp)
        # texts of pickle say nothing, or recommend to run whatever the file holds
        if pickled and isinstance(error, UnpicklingError | EOFError | LookupError):
            reason = "a .bin file is damaged, or holds more than tensors"
        elif not isinstance(error, OSError | ValueError | RuntimeError) or not reason:
            reason = f"{type(error).__name__}: {reason}"
        raise cannot_load(location.name, f"its {part} cannot be read: {reason}") from error
