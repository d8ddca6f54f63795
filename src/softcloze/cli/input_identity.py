"""Facts by which a run knows its input again: checksums of a file, or of the part of it that a shard reads."""

from functools import cached_property
from hashlib import file_digest

from softcloze.cli.file_format import PLAIN, Source
from softcloze.cli.parquet_rows import ParquetParts
from softcloze.cli.sources import explain_read_errors


class InputIdentity:
    """Checksums of a file, each computed once, and the options of reading it.

    A shard of a Parquet file is known by the end of the file, which has the schema and the places of all rows, and by
    the bytes of the row groups that contain its rows. All shards together cover every byte of every row, so that `join`
    notices any change, and no shard reads the rows of the others. A shard of another file is known by the whole file,
    all lines of which are counted anyway.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def facts(self, rows: range | None = None) -> dict[str, str | None]:
        """Facts by their names in messages.

        Args:
            rows: the rows of a shard, by their indices in the file; None for a run over all.
        """
        format = self._source.format
        with explain_read_errors(self._source):
            if rows is not None and self._source.kind == "parquet":
                checksum = self._parts.checksum(rows)
            else:  # the whole file has to be read in any case
                checksum = self._whole
        return {"input": checksum, "way of reading it": None if format == PLAIN else str(format)}

    @cached_property
    def _whole(self) -> str:
        with self._source.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()

    @cached_property
    def _parts(self) -> ParquetParts:
        return ParquetParts(self._source.path, self._source)
