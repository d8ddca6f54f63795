"""Files are read as what they are, or an error says what they seem to be and how to convert them."""

import bz2
import codecs
import csv
import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from softcloze.cli.file_options import read_format
from softcloze.cli.input_files import open_table
from softcloze.errors import CommandError, FileError, SoftclozeError
from softcloze.template import Template


def zipped(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "text,label\n" * 10)
    return buffer.getvalue()


def parquet(table):
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


ROWS = b"text,label\na delight,good\n"
REFUSED = {
    # quotes: pytorch/text#612, facebookresearch/pytext#376, nyu-mll/GLUE-baselines#13
    "quotes of GLUE that join rows": (
        "a.tsv",
        b'text\tlabel\n"I loved it.\tpositive\nThen it got dull."\tnegative\nfine\tpositive\n',
        "a.tsv, line 2: a quote opens here and joins lines of which each looks like a row; close or double it, or, if "
        "quotes are plain characters here, add --quoting none",
    ),
    "quotes of GLUE and nothing to compare with": (
        "a.tsv",
        b'text\tlabel\n"one\tx\ntwo"\ty\n',
        "a.tsv, line 2: a quote",
    ),
    "a quote that joins rows with commas": (
        "a.csv",
        b'text,label\nfine,positive\n"I loved it.,positive\nno,negative\nThen it got dull.",negative\n',
        "a.csv, line 3: a quote opens here and joins lines",
    ),
    "a quote that joins rows after their labels": (
        "a.csv",
        b'label,text\npositive,fine\nnegative,no\npositive,"I loved it.\nnegative,Then it got dull."\n',
        "a.csv, line 4: a quote opens here and joins lines",
    ),
    "a quote that joins rows with numbers": (
        "a.csv",
        b'text,id\nfine,1\n"I loved it.,2\nThen it got dull.",3\n',
        "a.csv, line 3: a quote opens here and joins lines",
    ),
    "a quote that is never closed": (
        "a.csv",
        b'text,label\nfine,positive\n"I loved it,positive\nno,negative\n',
        'a.csv, line 3: a quote opens here and is never closed; inside quotes a quote has to be doubled (""), or, ',
    ),
    "plain quotes at the start": (
        "a.tsv",
        b'text\tlabel\n"Good" film\tpositive\n',
        'a.tsv, line 2: text follows a closing quote; inside quotes a quote has to be doubled (""), or, if quotes',
    ),
    # timeseer-ai/kukur#205, johnkerl/miller#922
    "quotes of MySQL": (
        "a.csv",
        rb"""text,label
"He said \"no\"",negative
""",
        r"a.csv, line 2: a quote is written as \", as by MySQL; double it instead: python -c ",
    ),
    # delimiters: Data-Liberation-Front/csvlint.rb#218
    "semicolons": ("a.csv", b"text;label\nfine, really;good\nno;bad\n", "a.csv has semicolons between its values, not"),
    "semicolons and quotes": ("a.csv", b'text;label\n"a ""b"" c";good\nno;bad\n', "a.csv has semicolons between"),
    "semicolons and a header in quotes": ("a.csv", b'"text";"label"\n"a";"b"\n', "a.csv has semicolons between its"),
    "tabs and a header in quotes": ("a.csv", b'"text"\t"label"\n"a"\t"b"\n', "a.csv has tabs between its values, not"),
    "tabs": ("a.csv", b"text\tlabel\nfine\tgood\n", "a.csv has tabs between its values, not commas: add --format tsv"),
    "commas": ("a.tsv", b"text,label\nfine,good\n", "a.tsv has commas between its values, not tabs: add --format csv"),
    "quotes after spaces": (
        "a.csv",
        b'text, label\n"a, b", "good"\n"c", "bad"\n',
        "a.csv, line 2: white space before a quote makes the quote a part of the text; remove it: python -c ",
    ),
    "row names of R": (
        "a.tsv",
        b'"text"\t"label"\n"1"\t"fine"\t"good"\n"2"\t"b"\t"bad"\n',
        "a.tsv: rows have one value more than the 2 columns of the header: name the missing column there, first for",
    ),
    "bars": (
        "a.csv",
        b"text|label\nfine|good\n",
        "a.csv has vertical bars between its values, not commas: add --d",
    ),
    # encodings: aehrc/pathling#2647
    "UTF-16": (
        "a.csv",
        ROWS.decode().encode("utf-16"),
        "a.csv is UTF-16 text: add --encoding utf-16",
    ),
    "UTF-16 without a mark": (
        "a.csv",
        ROWS.decode().encode("utf-16-le"),
        "a.csv holds NUL bytes; it seems to be UTF-16",
    ),
    "UTF-16 without a mark, mostly Chinese": (
        "a.csv",
        ("text,label\n" + "这部电影我非常喜欢,好\n" * 300).encode("utf-16-be"),
        "a.csv holds NUL bytes; it seems to be UTF-16BE text: add --encoding utf-16be",
    ),
    "UTF-32": ("a.csv", ROWS.decode().encode("utf-32"), "a.csv is UTF-32 text"),
    "GBK": (
        "a.csv",
        "text,label\n很好看,good\n".encode("gbk"),
        "a.csv is not UTF-8 text: line 2 is wrong, at byte 12 of the file; it may be gb18030: add --encoding gb18030",
    ),
    "Latin-1": (
        "a.csv",
        "text,label\nun café très bon,good\n".encode("latin-1"),
        "a.csv is not UTF-8 text: line 2 is wrong, at byte 18 of the file; it may be windows-1252: add --encoding w",
    ),
    "two encodings": (
        "a.jsonl",
        '{"text": "很好"}\n'.encode() + '{"text": "café"}\n'.encode("latin-1"),
        "a.jsonl is not UTF-8 text: line 2 is wrong, at byte 33 of the file, while others are UTF-8; it may",
    ),
    # headers: timoschick/pet#2
    "names that are missing": (
        "a.csv",
        b"v1,v2,,,\nham,hello,,,\n",
        "a.csv: the columns 3, 4, 5 have no name in the header; name or remove them",
    ),
    "a name twice": ("a.csv", b"text,text\na,b\n", "a.csv: the column 'text' occurs twice in the header; rename one"),
    "a name twice in Parquet": (
        "a.parquet",
        parquet(pyarrow.table([["a"], ["b"]], names=["text", "text"])),
        "a.parquet: the column 'text' occurs twice in the header; rename one",
    ),
    "only a header": ("a.csv", b"text,label\r\n", "a.csv is empty: it holds no rows after its header: 'text', 'label'"),
    "only a mark": ("a.csv", codecs.BOM_UTF8, "a.csv is empty: it holds no rows"),
    "only empty lines": ("a.jsonl", b"\n\n", "a.jsonl is empty: it holds no rows"),
    # kinds: CLUEbenchmark/CLUE#9, lil-lab/nlvr#1, rom1504/img2dataset#326
    "JSON lines in a .csv": ("a.csv", b'{"text": "a", "label": 1}\n', "a.csv holds JSON lines: add --format jsonl"),
    "an array in a .jsonl": ("a.jsonl", b'[\n{"text": "a"}\n]', "a.jsonl holds an array of JSON: add --format json"),
    "an object over several lines": ("a.jsonl", b'{\n  "text": "a"\n}\n', "a.jsonl is JSON, but neither an array nor"),
    "CSV in a .jsonl": ("a.jsonl", ROWS, "a.jsonl holds values with commas between them: add --format csv"),
    "tabs in a .txt": (
        "a b.txt",
        b"text\tlabel\na\tb\n",
        "a b.txt holds values with tabs between them: add --format tsv, or --format txt if each line is a text",
    ),
    "CSV in a .parquet": ("a.parquet", ROWS, "a.parquet holds values with commas between them: add --format csv"),
    "Parquet in a .csv": (
        "a.csv",
        parquet(pyarrow.table({"text": ["a"]})),
        "a.csv is a Parquet file: add --format parquet",
    ),
    "Parquet that is no UTF-8": (
        "a.parquet",
        parquet(pyarrow.table({"text": pyarrow.array([b"caf\xe9"]).view(pyarrow.string())})),
        "cannot read a.parquet: 'utf-8' codec can't decode byte 0xe9",
    ),
    "no table": (
        "a.log",
        b"hello\n",
        "a.log has an unknown ending '.log'; expected .csv, .tsv, .json, .jsonl, .ndj",
    ),
    "gzip that is cut off": (
        "a.csv.gz",
        gzip.compress(ROWS)[:-9],
        "cannot read a.csv.gz: the compressed data is d",
    ),
    "gzip around Parquet": (
        "a.parquet.gz",
        gzip.compress(parquet(pyarrow.table({"text": ["a"]}))),
        "a.parquet.gz is a Parquet file compressed by gzip: gunzip -k a.parquet.gz",
    ),
    "an array that is cut off": ("a.json", b'[{"text": "a"},\n {"te', "a.json, line 2: not JSON: Unterminated string"),
    "one object": ("a.json", b'{\n"rows": []}', "a.json is JSON, but neither an array nor an object on each line"),
    "bzip2": ("a.csv", bz2.compress(ROWS), "a.csv is compressed by bzip2: bunzip2 -k a.csv"),
    "zip": ("a.zip", zipped("a.csv"), "a.zip is a zip archive: unzip a.zip"),
    "Excel": ("a.xlsx", zipped("xl/workbook.xml"), "a.xlsx is an Excel workbook: save it in Excel as CSV UTF-8"),
    "HTML": ("a.csv", b"\n<!DOCTYPE html><html>", "a.csv is a page of HTML, perhaps saved in place of the data"),
    "XML": ("a.csv", b'<?xml version="1.0"?>\n<rows/>\n', "a.csv is an XML document: export its rows as CSV"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.csv holds binary data, no text: export its rows"),
    "Git LFS": (
        "a.parquet",
        b"version https://git-lfs.github.com/spec/v1\n",
        "a.parquet is a pointer of Git LFS, with",
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_read_is_named_with_the_way_to_convert_it(name, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError) as caught:
        open_table(type(tmp_path)(name))
    assert str(caught.value).startswith(message)


GOOD = {
    "the first lines are empty": ("a.csv", b"\r\n\n" + ROWS),
    "Excel's line about the delimiter": ("a.csv", b"sep=;\r\ntext;label\r\na delight;good\r\n"),
    "the mark of UTF-8, twice": ("a.csv", codecs.BOM_UTF8 * 2 + ROWS),
    "line ends of old Macs": ("a.csv", ROWS.replace(b"\n", b"\r")),
    "line ends of old Macs in JSON lines": ("a.jsonl", b'{"text": "a delight", "label": "good"}\r\r'),
    "a mark before a line of JSON": ("a.jsonl", codecs.BOM_UTF8 * 2 + b'{"text": "a delight", "label": "good"}'),
    "columns named as other files begin": ("a.csv", b"PAR1,ARROW1,BZh,PK,%PDF,text,label\n1,2,3,4,5,a delight,good\n"),
    "an ending in capitals": ("a.CSV", ROWS),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD)
def test_what_is_clear_is_read(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    (row,) = open_table(tmp_path / name).rows()
    assert (row["text"], row["label"]) == ("a delight", "good")


ADVISED = {
    "semicolons": [{"text": "fine, really", "label": "good"}, {"text": "no", "label": "bad"}],
    "bars": [{"text": "fine", "label": "good"}],
    "tabs": [{"text": "fine", "label": "good"}],
    "quotes of MySQL": [{"text": 'He said "no"', "label": "negative"}],
    "quotes of GLUE that join rows": [
        {"text": '"I loved it.', "label": "positive"},
        {"text": 'Then it got dull."', "label": "negative"},
        {"text": "fine", "label": "positive"},
    ],
    "quotes after spaces": [{"text": "a, b", "label": "good"}, {"text": "c", "label": "bad"}],
    "GBK": [{"text": "很好看", "label": "good"}],
    "UTF-16": [{"text": "a delight", "label": "good"}],
    "UTF-16 without a mark, mostly Chinese": [{"text": "这部电影我非常喜欢", "label": "好"}],
    "JSON lines in a .csv": [{"text": "a", "label": 1}],
    "an array in a .jsonl": [{"text": "a"}],
    "Parquet in a .csv": [{"text": "a"}],
}


@pytest.mark.parametrize(
    "name",
    [
        "semicolons",
        "bars",
        "tabs",
        "quotes of MySQL",
        "quotes of GLUE that join rows",
        "quotes after spaces",
        "GBK",
        "UTF-16",
        "UTF-16 without a mark, mostly Chinese",
        "JSON lines in a .csv",
        "an array in a .jsonl",
        "Parquet in a .csv",
    ],
)
def test_the_advice_of_a_message_reads_the_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, content, _ = REFUSED[name]
    (tmp_path / given).write_bytes(content)
    with pytest.raises(FileError) as caught:
        open_table(type(tmp_path)(given))
    option = re.search(r"add --(\w+) (\S+)$", str(caught.value))
    if option is not None:
        rows = [*open_table(tmp_path / given, read_format(**{option[1]: shlex.split(option[2])[0]})).rows()]
        assert rows[: len(ADVISED[name])] == ADVISED[name]
        return
    command = str(caught.value)[str(caught.value).index("python -c") :]
    # a machine may have a python3 alone
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", env=os.environ | {"PATH": path})
    if "not found" in done.stderr:
        pytest.skip(done.stderr)
    converted = command.split(" > ")[1]
    assert done.returncode == 0, done.stderr
    assert [*open_table(tmp_path / converted).rows()] == ADVISED[name]


def damage(path):
    return [str(line).removeprefix(f"{path}, ") for line in open_table(path).lines() if isinstance(line, FileError)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", ROWS + codecs.BOM_UTF8 + ROWS, "line 3: the header again; the file seems to be joined from several"),
        ("a.csv", ROWS + b"a\0b,good\n", "line 3: holds a NUL character; the file is damaged"),
        (
            "a.csv",
            ROWS + b'"one\ntwo",good\n\nI liked it, really,good\n',
            "line 6: 3 values where the header names 2 col",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"},\n', "line 2: not JSON: Extra data at column 14"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b", "text": "c"}\n', "line 2: not JSON: 'text' comes twice"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ' + b"9" * 5000 + b"}\n", "line 2: not JSON: Exceeds the limit"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": ' + b"[" * 101 + b"]" * 101 + b"}\n",
            "line 2: not JSON: lists and",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"text": ' + b"[" * 90_000 + b"}\n", "line 2: not JSON: maximum recursion depth"),
        ("a.jsonl", b'{"text": "a"}\n{"text": -Infinity}\n', "line 2: not JSON: -Infinity is not a number of JSON"),
        ("a.jsonl", b'{"text": "a"}\n"' + b"x" * 5_000_000 + b'"\n', "line 2: expected a JSON object, found '\"xxxxxx"),
    ],
)
def test_a_damaged_row_is_named_and_the_others_are_read(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    (problem,) = damage(path)
    assert problem.startswith(message) and len(problem) < 200


TWO = [{"text": "a, very good", "label": "good"}, {"text": "差\u3000评", "label": "bad"}]
LINES = "".join(json.dumps(row) + "\n" for row in TWO)
FORMATS = {
    "gzip": ("a.csv.gz", gzip.compress('text,label\n"a, very good",good\n差\u3000评,bad\n'.encode()), {}),
    "gzip without its ending": ("a.jsonl", gzip.compress(LINES.encode()), {}),
    "ndjson": ("a.NDJSON", LINES.encode(), {}),
    "JSON lines in a .json": ("a.json", b"\n" + LINES.encode(), {}),
    "an array": ("a.json", codecs.BOM_UTF8 + json.dumps(TWO, indent=1, ensure_ascii=False).encode(), {}),
    "an array on one line, compressed": ("a.json.gz", gzip.compress(json.dumps(TWO).encode()), {}),
    "another ending": ("a.data", LINES.encode(), {"format": "jsonl"}),
    "the mark of UTF-8": (
        "a.csv",
        'text,label\n"a, very good",good\n差\u3000评,bad\n'.encode("utf-8-sig"),
        {"encoding": "utf-8-sig"},
    ),
    "lines of UTF-16": (
        "a.jsonl",
        json.dumps(TWO[0]).encode("utf-16") + ("\n" + json.dumps(TWO[1], ensure_ascii=False)).encode("utf-16-le"),
        {"encoding": "utf-16"},
    ),
}


@pytest.mark.parametrize(("name", "content", "options"), FORMATS.values(), ids=FORMATS)
def test_other_formats_hold_the_same_rows(name, content, options, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert [*open_table(tmp_path / name, read_format(**options)).rows()] == TWO


DIALECTS = {
    "GBK": ("text,label\n很好看,好\n", {"encoding": "gbk"}),
    "UTF-16 as Excel saves it": ('text\tlabel\r\n"a\tb\r\nc"\t好\r\n', {"encoding": "utf-16", "delimiter": "\t"}),
    "semicolons": ('text;label\n"a;b";好\nc,d;e\n', {"delimiter": ";"}),
    "no header": ("a,b\n\n007,NA\n", {"no_header": True}),
    "names of columns": ("a|b\nc|d\n", {"columns": "文本, the label", "delimiter": "|"}),
    "plain quotes": ('text\tlabel\n"I loved it.\tx\nThen" it\ty"\n', {"quoting": "none", "delimiter": r"\t"}),
    "all at once": (
        '"很好^好\n差^"差\n',
        {"quoting": "none", "delimiter": "^", "encoding": "gb18030", "columns": "a,b"},
    ),
}


@pytest.mark.parametrize(("text", "options"), DIALECTS.values(), ids=DIALECTS)
def test_options_of_csv_mean_what_those_of_pandas_do(text, options, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(options.get("encoding", "utf-8")))
    format = read_format(**options)
    names = None if format.columns is None else [*format.columns]
    frame = pandas.read_csv(
        path,
        sep=format.delimiter or ",",
        encoding=format.encoding,
        header=0 if format.header else None,
        names=names,
        quoting=csv.QUOTE_NONE if format.quoting == "none" else csv.QUOTE_MINIMAL,
        dtype=str,
        keep_default_na=False,
    )
    if not format.header and names is None:
        frame.columns = [str(column + 1) for column in frame.columns]
    assert [*open_table(path, format).rows()] == frame.to_dict("records")


def test_a_text_on_each_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes('\ufeff"So", she said, <mask> {x}\r\n\n \n  很好 \nlast'.encode())
    table = open_table(path)
    assert [*table.rows()] == [{"text": '"So", she said, <mask> {x}'}, {"text": "  很好 "}, {"text": "last"}]
    assert [table.place(i) for i in range(3)] == ["line 1", "line 4", "line 5"]


def test_an_item_of_an_array_that_is_no_row_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a"}, [1], {"x": ' + "[" * 101 + "]" * 101 + "}]")
    assert damage(path) == [
        f"{path}, row 2: expected a JSON object, found '[1]'".removeprefix(f"{path}, "),
        "row 3: lists and objects are nested deeper than 100 levels",
    ]


def test_standard_input_is_read_as_the_format_that_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(LINES.encode() + b"{"))))
    table = open_table(Path("-"), read_format(format="jsonl"))
    *rows, problem = table.lines()
    assert rows == TWO == [*table.lines()][:2]
    assert str(problem).startswith("standard input, line 3: not JSON")
    with pytest.raises(CommandError, match="kind no ending tells: name it with --format"):
        open_table(Path("-"))


WRONG = {
    "UTF-8 read as GBK": (
        "a.csv",
        "text,label\n很好看!,好\n".encode(),
        {"encoding": "gbk"},
        "is not gbk text: byte 20 is wrong; it may be utf-8: leave out --encoding",
    ),
    "GBK read as UTF-16": (
        "a.csv",
        ROWS,
        {"encoding": "utf-16"},
        "is not utf-16 text: byte 1 is wrong; it may be utf-8: leave out",
    ),
    "after a megabyte": (
        "a.txt",
        b"x" * 3_000_000 + b"\xff\xff",
        {"encoding": "gbk"},
        "is not gbk text: byte 3,000,001 is wrong",
    ),
    "a value too many for --columns": (
        "a.csv",
        b"a,b\n",
        {"columns": "a,b,c"},
        "line 1: 2 values where --columns names 3",
    ),
    "a value too many without a header": (
        "a.csv",
        b"a,b\na\n",
        {"no_header": True},
        "line 2: 1 value where the first line has 2",
    ),
    "a delimiter that is another": (
        "a.csv",
        b"a,b\nc,d\n",
        {"delimiter": ";"},
        "has commas between its values, not semicolons: add --delimiter ,",
    ),
}


@pytest.mark.parametrize(("name", "content", "options", "message"), WRONG.values(), ids=WRONG)
def test_an_option_that_does_not_fit_the_content(name, content, options, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        [*open_table(path, read_format(**options)).rows()]
    assert message in str(caught.value) and str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.jsonl", {"delimiter": ";"}, "--delimiter is for CSV and TSV: leave it out for "),
        ("a.txt", {"columns": "a"}, "--no-header and --columns is for CSV and TSV"),
        ("a.csv", {"split": "test"}, "--split is for data sets of Hugging Face"),
        ("a.csv", {"delimiter": ";;"}, "--delimiter is ';;'; expected one character"),
        ("a.csv", {"encoding": "base64"}, "--encoding is 'base64', which Python does not know for text"),
        ("a.csv", {"encoding": "utf-61"}, "--encoding is 'utf-61', which Python does not know for text"),
        ("a.csv", {"columns": "a,,b"}, "--columns is 'a,,b'; expected different names"),
    ],
)
def test_an_option_that_does_not_fit_the_kind(name, options, message, tmp_path):
    (tmp_path / name).write_bytes(b'{"a": 1}' if name == "a.jsonl" else b"a,b\nc,d\n")
    with pytest.raises(CommandError) as caught:
        open_table(tmp_path / name, read_format(**options))
    assert str(caught.value).startswith(message)


def test_data_sets_of_hugging_face(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: 1 / 0)
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["差", "好"]))
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=data, test=data.select([0])).save_to_disk(tmp_path / "two")
    named = [{"text": "a", "label": "好"}, {"text": "b", "label": "差"}, {"text": "c", "label": None}]
    assert [*open_table(tmp_path / "one").rows()] == named
    assert [*open_table(tmp_path / "two", read_format(split="test")).rows()] == named[:1]
    for path, options, message in (
        (tmp_path / "two", {}, "two has the splits 'train', 'test': name one with --split"),
        (
            tmp_path / "two",
            {"split": "tests"},
            "two has no split 'tests'; it has 'train', 'test'; did you mean 'test",
        ),
        (tmp_path / "one", {"split": "test"}, "one has no splits: leave out --split"),
        (tmp_path / "one", {"encoding": "gbk"}, "--encoding is for text: leave it out for "),
        (Path("hf:a/b:c"), {}, "cannot load hf:a/b:c: division by zero; without a hub, name a folder"),
    ):
        with pytest.raises(SoftclozeError) as caught:
            open_table(path, read_format(**options))
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"3,Wall St. Bears\n4,Oil\n", "; the first line looks like a row: name the columns with --columns"),
        (b"ham,Go until jurong\nspam,Free entry\nham,Ok lar\n", "; the first line looks like a row"),
        (b"Text,label\na,b\n", "; did you mean 'Text'?"),
        (b" text,label\na,b\n", "; did you mean ' text'?"),
    ],
)
def test_a_column_that_is_missing(content, message, tmp_path):
    """timoschick/pet#2: a file without a header"""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(FileError, match="has no column 'text'; it has ") as caught:
        open_table(path).find_column("text")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "a.csv",
            b'text,label\n"a\nb",good\n\nc,\n',
            "a.csv, line 5: the row has the label '', blank text",
        ),
        ("a.csv", b"text,label\na,good\nc, \n", "a.csv, line 3: the row has the label ' ', blank text"),
        (
            "a.jsonl",
            b'\n{"label": "good"}\n{"label": NaN}\n',
            "a.jsonl, line 3: the row has the label nan, a missing",
        ),
        (
            "a.jsonl",
            b'{"label": "good"}\n{"text": "c"}\n',
            "a.jsonl, line 2: the row has the label None",
        ),
        (
            "a.jsonl",
            b'{"label": "good"}\n{"label": ["good"]}\n',
            "a.jsonl, line 2: the row has the label ['good']",
        ),
        (
            "a.jsonl",
            b'{"label": 1}\n{"label": "1"}\n',
            "a.jsonl: labels must all be str or all be int, and 'label' has 1 (int) and '1' (str)",
        ),
        ("a.csv", b"label\ngood\nGood \n", "a.csv, line 3: label 'Good ' is 'good' in another row: write them alike"),
        ("a.csv", b"label\ngood\nbad\n", "a.csv, line 3: label 'bad' is not one of 'good', 'poor'"),
        ("a.csv", b"label\ngood\ngood\n", "a.csv has only the label 'good' in 'label'; rows of at least 2 are needed"),
        (
            "a.parquet",
            parquet(pyarrow.table({"label": ["good", None]})),
            "a.parquet, row 2: the row has the label None",
        ),
    ],
)
def test_a_label_of_no_use_names_its_line(name, content, problem, tmp_path, monkeypatch):
    """deepchecks/deepchecks#2653: a missing label became a class of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    known = None if "alike" in problem else ["good", "poor"]
    with pytest.raises(FileError) as caught:
        open_table(type(tmp_path)(name)).labels("label", known, fewest=2)
    assert str(caught.value).startswith(problem)


def test_a_text_that_other_tools_write_for_a_gap_is_told_among_labels(tmp_path, capfd):
    """deepchecks/deepchecks#2653: a missing label became a class of its own."""
    path = tmp_path / "a.csv"
    path.write_text('"","label"\n"1","good"\n"2",NA\n"3",NA\n')
    assert open_table(path).labels("label") == ["good", "NA", "NA"]
    message = f"warning: {path}, line 3: the text 'NA' is taken for a label; remove its rows if it means a gap\n"
    assert capfd.readouterr().err == message
    with pytest.raises(FileError, match="line 3: label 'NA' is not one of 'good', 'bad'"):
        open_table(path).labels("label", ["good", "bad"])


def test_an_example_of_no_use_names_its_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": null}\n')
    with pytest.raises(FileError) as caught:
        open_table(path).examples([Template("<text> It was <mask>.")], None)
    assert str(caught.value).startswith(f"{path}, line 3: field 'text' is None: drop the row")


def test_only_files_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    (tmp_path / "link.csv").symlink_to("gone.csv")
    path = type(tmp_path)
    for name, message in (
        ("pipe.csv", "pipe.csv is a pipe or device, and rows are read several times: save them in a file"),
        ("link.csv", "link.csv is a link to gone.csv, which does not exist"),
        ("a" * 300 + ".csv", f"cannot read {'a' * 300}.csv: File name too long"),
        (".", ". is a folder, expected a file"),
        ("pip.csv", "there is no file pip.csv; did you mean 'pipe.csv'?"),
    ):
        with pytest.raises(FileError) as caught:
            open_table(path(name))
        assert str(caught.value) == message


def without_last_returns(rows):
    r"""Without \r at the end of a line: both write it without quotes, and then it belongs to the line end."""
    return [[*row[:-1], row[-1].rstrip("\r")] for row in rows]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.text(
    '",;\t|\r\n \\ab\ufeff很', max_size=12
)
TABLES = (
    st.integers(1, 3)
    .flatmap(lambda width: st.lists(st.lists(TEXTS, min_size=width, max_size=width), min_size=1, max_size=6))
    .map(without_last_returns)
)


@given(
    rows=TABLES,
    delimiter=st.sampled_from(",\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example(
    rows=[["I loved it, really\nbut then", "good"], ["b", "good"]], delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\n"
)
@example(rows=[['"', '""'], ["\\", '\\"']], delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\r\n")
def test_files_of_the_csv_module_are_read_back(rows, delimiter, quoting, end, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / ("a.csv" if delimiter == "," else "a.tsv")
    names = [f"column{i}" for i in range(len(rows[0]))]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([names, *rows])
    check_read_back(path, names, rows, delimiter)


@given(rows=TABLES, delimiter=st.sampled_from(",\t"), index=st.booleans())
def test_files_of_pandas_are_read_back(rows, delimiter, index, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / ("a.csv" if delimiter == "," else "a.tsv")
    names = [f"column{i}" for i in range(len(rows[0]))]
    pandas.DataFrame(rows, columns=names).to_csv(path, sep=delimiter, index=index)
    if index:
        names, rows = ["", *names], [[f"{i}", *row] for i, row in enumerate(rows)]
    check_read_back(path, names, rows, delimiter)


def check_read_back(path, names, rows, delimiter):
    try:
        found = [list(row.values()) for row in open_table(path).rows()]
    except FileError as error:
        # in a TSV, a text with tabs and line ends may as well be rows with plain quotes: never read, never guessed
        joined = "joins lines of which each looks like a row" in str(error)
        assert (
            joined
            and delimiter == "\t"
            and any("\t" in text and ("\n" in text or "\r" in text) for row in rows for text in row)
        )
        return
    assert found == rows


FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers() | FINITE | TEXTS


@given(rows=st.lists(st.dictionaries(st.text(), VALUES), min_size=1))
def test_json_lines_are_read_back(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=len(row) % 2 == 0) + "\n" for row in rows), encoding="utf-8")
    assert [*open_table(path).rows()] == rows


@given(
    content=st.binary(max_size=200) | st.text('text,label"\n\r\t;{}[]:\\\0\ufeff', max_size=40).map(str.encode),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".json", ""]),
)
def test_any_bytes_are_read_or_refused(content, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(content)
    try:
        table = open_table(path)
    except FileError as error:
        assert str(path) in str(error)
        return
    assert len([*table.lines()]) == table.count


@pytest.mark.parametrize("first", [0, 1, 99, 100, 101, 250, 259])
def test_a_part_of_a_parquet_file_reads_no_other_groups_of_rows(tmp_path, monkeypatch, first):
    path = tmp_path / "a.parquet"
    rows = pyarrow.table({"text": [str(i) for i in range(260)], "id": range(260)})
    pyarrow.parquet.write_table(rows, path, row_group_size=100)
    whole = open_table(path)
    table = open_table(path, reads_all=False)
    assert table == whole
    groups, iter_batches = [], pyarrow.parquet.ParquetFile.iter_batches

    def noted(file, size, row_groups):
        groups.extend(row_groups)
        return iter_batches(file, size, row_groups=row_groups)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", noted)
    part = table.part(range(first, 260))
    assert [*part.lines()] == rows.slice(first).to_pylist()
    assert groups == [*range(first // 100, 3)]
    assert part.place(0) == f"row {first + 1}"
    assert [*part.part(range(1, 260 - first)).lines()] == rows.slice(first + 1).to_pylist()
