"""Kinds of files that the commands do not read, recognised by their first bytes, with the way to convert each."""

import codecs
import re
import shlex
from collections.abc import Iterable
from os import SEEK_END
from pathlib import Path

HEAD = 4096  # bytes that identify the kind
LINE = 2**20  # bytes of the line after them that are read to its end
MAGIC = {
    b"\x1f\x8b": ("compressed by gzip", "gunzip -k {path}"),
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
_JSON = re.compile(r"\[\s*[{\n]|\{\s*\n")  # an array of objects, or an object over several lines
_OBJECT = re.compile(r"^\s*\{", re.MULTILINE)
_HIGH = re.compile(rb"[\x80-\xff]+")


def describe_kind(path: Path) -> str | None:
    """Describe a file that is not what its suffix says, and the way to convert it; None if nothing is known.

    Raises:
        OSError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(HEAD) + file.readline(LINE)
        file.seek(-min(4, file.seek(0, SEEK_END)), SEEK_END)
        tail = file.read()
    for magic, (kind, mend) in MAGIC.items():
        if head.startswith(magic):
            if b"xl/" in head or suffix in (".xlsx", ".xlsm"):
                kind, mend = WORKBOOK
            return f"is {kind}: {mend.format(path=shlex.quote(str(path)))}"
    if head.startswith(b"PAR1") and (suffix == ".parquet" or tail == b"PAR1"):
        return None if suffix == ".parquet" else f"is a Parquet file: {rename(path, '.parquet')}"
    for bom, encoding in BOMS.items():
        if head.startswith(bom):
            return f"is {encoding} text{_convert(path, encoding)}"
    if suffix != ".parquet":
        for encoding, mark in _WIDE.items():
            if len(mark.findall(head)) > 1 and head.count(0) > len(head) / 50:
                return f"holds NUL bytes; it seems to be {encoding} text{_convert(path, encoding)}"
        if b"\0" in head and len(_CONTROL.findall(head)) > max(2, len(head) / 20):
            return "holds binary data, no text: export its rows as CSV, or as JSON lines"
    if _HTML.match(head):
        return "is a page of HTML, perhaps saved in place of the data: download the file itself"
    text = head.decode("utf-8", "ignore").lstrip("\ufeff").lstrip()
    if suffix not in (".csv", ".tsv") and (opening := _JSON.match(text)):
        return f"is JSON, but not a JSON object on each line: {_json_lines(path, opening[0][0])}"
    right = _suffix_for(text)
    if suffix in (".csv", ".tsv") and right != ".jsonl":
        return None  # other delimiters are recognised by more rows
    if right in (None, suffix) or (suffix == ".jsonl" and _OBJECT.search(text)):
        return None
    return f"holds {_NAMES[right]}: {rename(path, right)}"


def describe_encoding(path: Path) -> str:
    """Describe a file that is not UTF-8: its first wrong line, the likely encoding and the command to convert it."""
    wrong, first, has_utf8 = b"", 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                has_utf8 |= not line.decode("utf-8").isascii()
            except UnicodeDecodeError:
                first = first or number
                wrong += line
                if len(wrong) > HEAD:
                    break
    at = f"is not UTF-8 text: line {first:,} is wrong"
    if has_utf8:
        return f"{at}, while others are UTF-8; it may be cut off or joined from files of two encodings: mend that line"
    return at + _convert(path, _likely_encoding(wrong))


def _likely_encoding(line: bytes) -> str:
    runs = _HIGH.findall(line)
    if sum(len(run) > 1 for run in runs) * 2 > len(runs):  # letters of Western languages mostly stand alone
        try:
            line[:HEAD].decode("gb18030")
        except UnicodeDecodeError as error:
            if error.end < len(line[:HEAD]) - 1:
                return "WINDOWS-1252"
        return "GB18030"
    return "WINDOWS-1252"


def _suffix_for(text: str) -> str | None:
    """The suffix of text of the supported kinds; None for other text."""
    line = text.partition("\n")[0]
    if line.startswith("{"):
        return ".jsonl" if line.rstrip().endswith("}") else None
    if line.startswith("["):
        return None
    return next((suffix for suffix, delimiter in ((".tsv", "\t"), (".csv", ",")) if delimiter in line), None)


_NAMES = {".jsonl": "JSON lines", ".tsv": "values with tabs between them", ".csv": "values with commas between them"}


def rename(path: Path, suffix: str) -> str:
    """The command that gives a file another suffix."""
    return f"mv {_quote([path, path.with_suffix(suffix)])}"


def _json_lines(path: Path, opening: str) -> str:
    lines = path.with_name(f"{path.stem}-lines.jsonl")
    return f"jq -c '{'.[]' if opening == '[' else '.'}' {_quote([path])} > {_quote([lines])}"


def _convert(path: Path, encoding: str) -> str:
    converted = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return (
        f"; if it is {encoding}, convert it with: iconv -f {encoding} -t UTF-8 {_quote([path])} > {_quote([converted])}"
    )


def _quote(paths: Iterable[Path]) -> str:
    return shlex.join(map(str, paths))
