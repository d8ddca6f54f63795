"""Answers about failures: a code, a message and the row, and never the text of a request."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class RowError(Exception):
    """A row that cannot be classified.

    Attributes:
        status: of the answer, if the request has a single row.
        code: of the failure, for programs.
        message: for people; names fields and prompts of the registry, and contains nothing that the request said.
    """

    def __init__(self, status: int, code: str, message: str):
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


def failure(
    status: int, code: str, message: str, *, row: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer of JSON: `error`, `code` and, where it is about one of several rows, its index."""
    content: dict[str, str | int] = {"error": message, "code": code}
    if row is not None:
        content["row"] = row
    return JSONResponse(content, status, headers)
