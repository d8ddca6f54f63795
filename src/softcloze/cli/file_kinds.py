"""Files that are not what their ending or an option says, recognised by their first bytes, with the way to mend it."""

import codecs
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from os import SEEK_END
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from softcloze.cli.file_format import Source

HEAD = 4096  # bytes that identify the kind
LINE = 2**20  # bytes of the line after them that are read to its end
MAGIC = {
    **{b"BZh%d1AY" % level: ("compressed by bzip2", "bunzip2 -k {path}") for level in range(1, 10)},
    b"\xfd7zXZ\x00": ("compressed by xz", "unxz -k {path}"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unzstd {path}"),
    b"PK\x03\x04": ("a zip archive", "unzip {path}"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save it in Excel as CSV UTF-8"),
    b"ARROW1\0\0": ("an Arrow file", "write it with pyarrow as Parquet"),
    b"SQLite format 3\x00": ("an SQLite database", "export a table with: sqlite3 -header -csv"),
    b"<?xml": ("an XML document", "export its rows as CSV"),
    b"{\\rtf": ("a document of rich text", "export its tables as CSV"),
    b"%PDF": ("a PDF document", "export its tables as CSV"),
    b"version https://git-lfs": ("a pointer of Git LFS, without the data", "git lfs pull"),
}
WORKBOOK = ("an Excel workbook", "save it in Excel as CSV UTF-8")
BOMS = {  # the longer ones first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_WIDE = {  # characters between values and lines
    "UTF-16LE": re.compile(rb"[\n,;\t{]\x00(?!\x00)"),
    "UTF-16BE": re.compile(rb"(?<!\x00)\x00[\n,;\t{]"),
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_ARRAY = re.compile(r"\[\s*(?:[{\]]|\Z)")  # of objects
_LINES = re.compile(r"\{\s*\n")  # an object over several lines
_OBJECT = re.compile(r"^\s*\{", re.MULTILINE)
_HIGH = re.compile(rb"[\x80-\xff]+")


def read_head(source: "Source") -> bytes:
    """Read the first bytes of a file, without its compression, to the end of a line."""
    with source.open_bytes() as file:
        return file.read(HEAD) + file.readline(LINE)


def head_text(source: "Source", head: bytes) -> str:
    """The first bytes of a file as text, without white space and byte order marks before it."""
    return head.decode(source.format.encoding, "ignore").lstrip("\ufeff").lstrip()


def describe_kind(source: "Source", head: bytes, *, is_known: bool) -> str | None:
    """Describe a file that is not what its kind says, and the way to mend it; None if nothing is wrong.

    Args:
        source: the file.
        head: its first bytes.
        is_known: whether its ending or an option says the kind.

    Raises:
        OSError: the file cannot be read.
    """
    kind = source.kind if is_known else None
    with source.path.open("rb") as file:
        file.seek(-min(4, file.seek(0, SEEK_END)), SEEK_END)
        tail = file.read()
    for magic, (content, mend) in MAGIC.items():
        if head.startswith(magic):
            if b"xl/" in head or source.path.suffix.lower() in (".xlsx", ".xlsm"):
                content, mend = WORKBOOK
            return f"is {content}: {mend.format(path=shlex.quote(str(source.path)))}"
    if head.startswith(b"PAR1") and source.is_compressed:
        return f"is a Parquet file compressed by gzip: gunzip -k {shlex.quote(str(source.path))}"
    if head.startswith(b"PAR1") and (kind == "parquet" or tail == b"PAR1"):
        return None if kind == "parquet" else f"is a Parquet file: {choose('parquet')}"
    if source.format.is_utf8 and (problem := _describe_binary(head, is_parquet=kind == "parquet")):
        return problem
    if _HTML.match(head):
        return "is a page of HTML, perhaps saved in place of the data: download the file itself"
    text = head_text(source, head)
    right = _kind_of(text)
    match kind:
        case "csv" | "tsv" if right not in ("json", "jsonl"):
            return None  # other delimiters are recognised by more rows
        case "txt" if source.format.kind is not None or not (right == "tsv" or text.startswith('{"')):
            return None
        case "jsonl" | "json" if text.startswith("{") and _LINES.match(text):
            return f"is JSON, but neither an array nor an object on each line{_json_lines(source)}"
        case "jsonl" if right != "json" and _OBJECT.search(text):
            return None
        case "json" if right in ("json", "jsonl"):
            return None
    if right in (None, kind):
        return None
    lines = ", or --format txt if each line is a text" if kind == "txt" else ""
    return f"holds {_NAMES[str(right)]}: {choose(str(right))}{lines}"


def _describe_binary(head: bytes, *, is_parquet: bool) -> str | None:
    """Describe bytes that are not UTF-8 text, by their NUL bytes and byte order marks."""
    for bom, encoding in BOMS.items():
        if head.startswith(bom):
            return f"is {encoding} text: add --encoding {encoding.lower()}"
    if is_parquet:
        return None
    for encoding, mark in _WIDE.items():
        if len(mark.findall(head)) > 1 and head.count(0) > len(head) / 50:
            return f"holds NUL bytes; it seems to be {encoding} text: add --encoding {encoding.lower()}"
    if b"\0" in head and len(_CONTROL.findall(head)) > max(2, len(head) / 20):
        return "holds binary data, no text: export its rows as CSV, or as JSON lines"
    return None


def encoding_option(encoding: str) -> str:
    """The option of a command that reads rows for a file with this encoding."""
    return "leave out --encoding" if encoding == "utf-8" else f"add --encoding {encoding}"


def describe_encoding(source: "Source", advise: Callable[[str], str] = encoding_option) -> str:
    """Describe a file whose text has another encoding: its first wrong byte and the encoding that it likely has.

    Args:
        source: the file.
        advise: gives the way to read a file with an encoding.
    """
    encoding = source.format.encoding
    with source.open_bytes() as file:
        head = file.read(HEAD)
        if not source.format.is_utf8:
            wrong, at = _first_wrong(file, head, encoding)
            likely = likely_encoding(head if not head.isascii() else wrong)
            advice = f"; it may be {likely}: {advise(likely)}"
            return f"is not {encoding} text: byte {at:,} is wrong{advice if likely != encoding.lower() else ''}"
        file.seek(0)
        sample, first, at, position, has_utf8 = b"", 0, 0, 0, False
        for number, line in enumerate(file, start=1):
            try:
                has_utf8 |= not line.decode("utf-8").isascii()
            except UnicodeDecodeError as error:
                first, at = (first, at) if first else (number, position + error.start + 1)
                sample += line
                if len(sample) > HEAD:
                    break
            position += len(line)
    place = f"is not UTF-8 text: line {first:,} is wrong, at byte {at:,} of the file"
    if has_utf8:
        return f"{place}, while others are UTF-8; it may be cut off or joined from files of two encodings: mend it"
    likely = likely_encoding(sample)
    return f"{place}; it may be {likely}: {advise(likely)}"


def _first_wrong(file: BinaryIO, head: bytes, encoding: str) -> tuple[bytes, int]:
    """The bytes around the first wrong one, and its number in the file, counted from 1."""
    decoder = codecs.getincrementaldecoder(encoding)()
    chunk, position = head, 0
    while True:
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:  # of the chunk and bytes that were kept from the one before
            before = len(error.object) - len(chunk)
            return error.object[error.start :], position - before + error.start + 1
        except UnicodeError:  # UTF-16 without a byte order mark
            return chunk, position + 1
        position += len(chunk)
        if not chunk:
            return b"", position
        chunk = file.read(LINE)


def likely_encoding(sample: bytes) -> str:
    """The likely encoding of text by a sample of it."""
    for bom, encoding in BOMS.items():
        if sample.startswith(bom):
            return encoding.lower()
    for encoding, mark in _WIDE.items():
        if len(mark.findall(sample)) > 1:
            return encoding.lower()
    with suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut
        return "utf-8"
    runs = _HIGH.findall(sample)
    if sum(len(run) > 1 for run in runs) * 2 > len(runs):  # letters of Western languages mostly stand alone
        try:
            sample[:HEAD].decode("gb18030")
        except UnicodeDecodeError as error:
            if error.end < len(sample[:HEAD]) - 1:
                return "windows-1252"
        return "gb18030"
    return "windows-1252"


def _kind_of(text: str) -> str | None:
    """The kind of text by its first line; None for text of no kind."""
    line = text.partition("\n")[0]
    if line.startswith("{"):
        return "jsonl" if line.rstrip().endswith("}") else None
    if line.startswith("["):
        return "json" if _ARRAY.match(text) else None
    return next((kind for kind, delimiter in (("tsv", "\t"), ("csv", ",")) if delimiter in line), None)


_NAMES = {
    "jsonl": "JSON lines",
    "json": "an array of JSON",
    "tsv": "values with tabs between them",
    "csv": "values with commas between them",
}


def choose(kind: str) -> str:
    """The advice to read a file as one of another kind."""
    return f"add --format {kind}"


def _json_lines(source: "Source") -> str:
    if not source.is_plain:
        return ""
    lines = source.path.with_name(f"{source.path.stem}-lines.jsonl")
    return f": {shlex.join(['jq', '-c', '.', str(source.path)])} > {shlex.quote(str(lines))}"
