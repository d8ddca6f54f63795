"""Coverage-guided fuzz of everything that reads text or files: only errors of softcloze are raised.

Usage: python fuzz/readers.py [SECONDS [READER ...]]     (or: make fuzz-readers SECONDS=600)

atheris mutates bytes towards lines of softcloze that no input has reached. Each reader gets its share of the time, in a
process of its own. A failure prints its traceback, once for each kind, and is kept as a file in build/fuzz/READER;
`python fuzz/readers.py FILE` runs it again.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import atheris

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import torch
import transformers  # noqa: F401 - before the instrumentation, which is for softcloze alone
from gguf import GGUFWriter
from safetensors.torch import save

with atheris.instrument_imports(include=["softcloze"]):
    from softcloze import PromptClassifier, PromptEnsemble, PromptSet, Template, Verbalizer
    from softcloze.backbone import load_tokenizer
    from softcloze.cli.input_files import open_table
    from softcloze.cli.lint_sources import TomlError, read_source
    from softcloze.cli.options import read_fields, read_verbalizer
    from softcloze.errors import SoftclozeError
    from softcloze.library.cards import read_template_card, read_verbalizer_card
    from softcloze.lint import lint
    from softcloze.prompt import Prompt
    from softcloze.prompt.card import PromptCard
    from softcloze.training.checkpoint import Checkpoint

from rounds import kind
from support import models

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "fuzz"
VALUES = [
    *(
        None,
        True,
        0,
        -1,
        1,
        2.5,
        10**30,
        float("nan"),
        float("inf"),
        "",
        "a",
        "../..",
        "<mask>",
        "<text",
        "\ud800",
        "\0",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        ["a", "a"],
        {"a": []},
        {"": 1},
        [0.5, 0.5],
        [[1, ["good"]], ["1", ["bad"]]],
        "words",
        "linear",
    ),
]


class Reader:
    """Inputs that a reader takes, and seeds from which mutations start."""

    seeds: tuple[bytes, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, data: bytes) -> None:
        """Read `data`; errors of softcloze are expected."""
        raise NotImplementedError

    def file(self, name: str, content: bytes) -> Path:
        """A file with this content."""
        path = self.folder / name
        path.write_bytes(content)
        return path


class Templates(Reader):
    """The parser, Jinja and the linter."""

    seeds = (
        b'<soft*3 name=a init="it is"> <text max=5 keep=tail> <sep> <mask*2 name=b>',
        b"{% if title %}{{ title | trim | upper }}{% else %}{{ text[0:3] }}{% endif %}<!-- a --><mask>",
        b"{% for a in text %}{{ loop.index }}: {{ a ~ 'x' }}{% endfor %}{% set b = 1 + 2 %}<mask>",
        b'\\<b> <options sep=", "><bos><text>\n<mask>',
        b"<demos*8 sep=\"\\n\"><text shorten=0> {{ text | replace('a', 'b') | truncate(5) }} <mask>",
    )

    def read(self, data: bytes) -> None:
        """Parse, print, lint and expand a template."""
        template = Template(data.decode("utf-8", "surrogateescape"))
        assert Template(str(template)) == template
        lint(template, {"good": ["good"], "差": ["差"]}, fields=["text"])
        template.expand(template.read_fields({"text": "a b", "title": ["x", "y"], "a": 3, "b": None}))


class Importers(Reader):
    """Templates of other libraries."""

    seeds = (
        b'{"soft": None, "duplicate": 10} {"placeholder": "text_a", "shortenable": True} It was {"mask"}.',
        b'{"meta": "a", "post_processing": lambda x: x + "."} {"soft": "it"} {"special": "<eos>"} {"mask"}',
        b"*cls**sent_0*_It_was*mask*.*sep+*",
        b"<P*10>{text}<P>{label}",
    )

    def read(self, data: bytes) -> None:
        """Import with each importer."""
        text = data.decode("utf-8", "surrogateescape")
        for importer in (Template.from_openprompt, Template.from_ruprompts, Template.from_lmbff):
            with Ours():
                template = importer(text)
                assert Template(str(template)) == template


class Cards(Reader):
    """Cards of the library and files of label words: TOML and JSON."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seeds = (
            *(next(iter(sorted((ROOT / part).rglob("*.toml")))).read_bytes() for part in ("templates", "verbalizers")),
            b'{"good": ["good", "great"], "bad": {"bad": 1.5}}',
            b'[words]\ngood = ["good"]\nbad = "bad"\n',
            b"text=A delight.",
        )

    def read(self, data: bytes) -> None:
        """Read the bytes as each kind of card."""
        toml, other = self.file("card.toml", data), self.file("card.json", data)
        text = self.file("card.txt", data)
        readings: list[Callable[[], object]] = [
            lambda: read_template_card("a/b", toml),
            lambda: read_verbalizer_card("a/b", toml),
            lambda: read_verbalizer(str(toml)),
            lambda: read_verbalizer(str(other)),
            lambda: read_verbalizer(data.decode("utf-8", "replace")),
            lambda: read_source(str(toml)).words,
            lambda: read_source(str(other)).words,
            lambda: read_source(str(text)),
            lambda: read_fields([data.decode("utf-8", "replace")]),
        ]
        for reading in readings:
            with Ours(TomlError):  # which `softcloze lint` shows
                reading()


class Tables(Reader):
    """CSV, TSV, JSON lines and Parquet."""

    seeds = (
        b'\0text,label\n"A ""delight""",pos\nDull,neg\n',
        b'\1text\tlabel\nA delight\tpos\n"Dull\tneg\n',
        b'\2{"text": "a", "label": 1}\n{"text": null, "label": [1]}\n',
        b"\0\xef\xbb\xbftext;label\r\nA;b\r\n",
        b"\0sep=,\ntext,label\nA,b\n",
        b"\0" + "text,label\nA,b\n".encode("utf-16"),
        b"\0" + "text,label\n很好,b\n".encode("gbk"),
    )

    def read(self, data: bytes) -> None:
        """Read all rows, as examples and as labels."""
        ending = (".csv", ".tsv", ".jsonl", ".parquet")[data[0] % 4 if data else 0]
        table = open_table(self.file(f"rows{ending}", data[1:]))
        for rows in (
            lambda: list(table.lines()),
            lambda: table.examples(Template("<text> <mask>"), None),
            lambda: table.examples(Template("<a> <mask>"), "text"),
            lambda: table.labels("label"),
        ):
            with Ours():
                rows()


class SavedPrompts(Reader):
    """Cards and vectors of prompts and ensembles whose checksums fit: anybody can compute them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        words = {"neg": ["bad", "terrible"], "pos": {"good": 2.0}}
        texts, labels = models.SENTENCES[:4], ["pos", "neg"] * 2
        backbone = models.backbone("bert")
        made = {
            "hard": PromptClassifier(backbone, "<text> It was <mask>.", words),
            "soft": PromptClassifier(backbone, "<soft*2> <text> <mask>", words, epochs=1, calibration="batch"),
            "linear": PromptClassifier(backbone, "<text> <soft name=a>It <mask>", words, epochs=1, head="linear"),
            "demos": PromptClassifier(backbone, "<demos*2> <text> <mask>", words, demonstrations="nearest"),
            "prototypes": PromptClassifier(backbone, "<text> <mask>", words, epochs=1, head="prototypes"),
        }
        self.folders = []
        for name, classifier in made.items():
            if name != "hard":
                classifier.fit(texts, labels)
            classifier.save(folder / name)
            self.folders.append(folder / name)
        PromptEnsemble([made["hard"], made["soft"]]).fit(texts, labels).save(folder / "ensemble")
        self.folders += [folder / "ensemble"]
        self.cards = [next(iter(saved.glob("*.json"))).read_bytes() for saved in self.folders]
        self.seeds = tuple(bytes([i, *range(7)]) for i in range(len(self.folders)))

    def read(self, data: bytes) -> None:
        """Change some values of a card, seal it again, load it and predict."""
        provider = atheris.FuzzedDataProvider(data)
        which = provider.ConsumeIntInRange(0, len(self.folders) - 1)
        saved = self.folders[which]
        card = json.loads(self.cards[which])
        for _ in range(provider.ConsumeIntInRange(1, 3)):
            places = list(_places(card))
            holder, key = places[provider.ConsumeIntInRange(0, len(places) - 1)]
            match provider.ConsumeIntInRange(0, 3):
                case 0:
                    del holder[key]
                case 1:
                    holder[key] = [holder[key]] * provider.ConsumeIntInRange(0, 3)
                case 2:
                    holder[key] = provider.ConsumeUnicode(8)
                case _:
                    holder[key] = VALUES[provider.ConsumeIntInRange(0, len(VALUES) - 1)]
        file = next(iter(saved.glob("*.json")))
        _seal(card, file)
        if file.name == "ensemble.json":
            PromptEnsemble.load(saved, models.backbone("bert")).predict(["A delight."])
            return
        with Ours():
            PromptCard.load(saved)
        with Ours():
            PromptSet([Prompt.load(saved)], models.backbone("bert"))
        PromptClassifier.load(saved, models.backbone("bert")).predict_proba(["A delight.", "Dull."])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in nested data with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _seal(card: dict[str, Any], file: Path) -> None:
    card.pop("card_sha256", None)
    card["card_sha256"] = sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(card), encoding="utf-8", errors="surrogatepass")


class Vectors(Reader):
    """Safetensors of prompts and checkpoints, and JSON that is not ours but has a right checksum."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        classifier = PromptClassifier(
            models.backbone("bert"), "<soft*2> <text> <mask>", Verbalizer({0: "bad", 1: "good"}), epochs=1, head="warp"
        )
        classifier.fit(models.SENTENCES[:4], [0, 1] * 2).save(folder / "saved")
        self.vectors, self.card = folder / "saved" / "vectors.safetensors", folder / "saved" / "prompt.json"
        self.checkpoint = Checkpoint(folder, "0" * 16)
        self.seeds = (
            self.vectors.read_bytes(),
            save({"soft/weight": torch.zeros(2, 32)}, metadata={"history": "[]"}),
            save({"#1": torch.full((2, 32), torch.nan)}),
            save({"#1": torch.zeros(2, 32, dtype=torch.int64), "head/weight": torch.zeros(2, 3)}),
        )

    def read(self, data: bytes) -> None:
        """Load a prompt with these vectors, and a checkpoint of this content."""
        self.vectors.write_bytes(data)
        card = json.loads(self.card.read_bytes())
        card["vectors_sha256"] = sha256(data).hexdigest()
        _seal(card, self.card)
        with Ours():
            PromptClassifier.load(self.card.parent, models.backbone("bert")).predict(["A delight."])
        self.checkpoint.path.write_bytes(data)
        with Ours():
            progress = self.checkpoint.load()
            if progress is not None:
                self.checkpoint.validate(progress, {"soft/weight": torch.zeros(2, 32)})


class Gguf(Reader):
    """Headers of GGUF files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        writer = GGUFWriter(folder / "seed.gguf", "llama")
        writer.add_context_length(64)
        writer.add_embedding_length(32)
        writer.add_block_count(1)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>", "<s>", "</s>", "▁a"])
        writer.add_token_scores([0.0, 0.0, 0.0, -1.0])
        writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        self.seeds = ((folder / "seed.gguf").read_bytes(), b"GGUF\3\0\0\0", b"")

    def read(self, data: bytes) -> None:
        """Read tokenizer and configuration."""
        load_tokenizer(str(self.file("model.gguf", data)))


READERS: dict[str, type[Reader]] = {
    "templates": Templates,
    "importers": Importers,
    "cards": Cards,
    "tables": Tables,
    "saved-prompts": SavedPrompts,
    "vectors": Vectors,
    "gguf": Gguf,
}
seen = set()


class Ours:
    """A `with` block in which errors of softcloze are expected, and those of other classes."""

    def __init__(self, *others: type[Exception]):
        self.expected = (SoftclozeError, *others)

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, traceback: object) -> bool:
        return isinstance(error, self.expected)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader; does not return."""
    kept, corpus = KEPT / name, Path(tempfile.mkdtemp())
    kept.mkdir(parents=True, exist_ok=True)
    reader = READERS[name](Path(tempfile.mkdtemp()))
    for number, seed in enumerate(reader.seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            with Ours():
                reader.read(data)
        except Exception as error:
            if kind(error) not in seen:
                seen.add(kind(error))
                traceback.print_exception(error)
                file = kept / sha256(data).hexdigest()[:12]
                file.write_bytes(data)
                print(f"{name}: failed; python fuzz/readers.py {file} reproduces it", flush=True)

    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=4096", "-timeout=300"]
    outputs = [f"-artifact_prefix={kept}/", "-report_slow_units=300"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *outputs], one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz every reader for its share of the time, each in a process, or run one kept file again."""
    given = sys.argv[1:]
    if given and Path(given[0]).is_file():
        file = Path(given[0])
        READERS[file.parent.name](Path(tempfile.mkdtemp())).read(file.read_bytes())
        return 0
    if given[:1] == ["--reader"]:
        fuzz(given[1], int(given[2]))
    seconds, names = float(given[0]) if given else 60.0, given[1:] or list(READERS)
    failures = 0
    for name in names:
        before = set((KEPT / name).glob("*"))
        command = [sys.executable, __file__, "--reader", name, str(max(1, int(seconds / len(names))))]
        ended = subprocess.run(command, check=False).returncode
        new = set((KEPT / name).glob("*")) - before
        failures += len(new) + (ended != 0)
        print(f"{name}: {len(new)} failures{f', ended with exit code {ended}' if ended else ''}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
