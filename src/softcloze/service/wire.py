"""Bodies of requests and answers."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from softcloze.service.answers import RowError

PromptId: TypeAlias = Annotated[
    str, Field(description="A prompt, as `reviews`, `reviews@canary` or `reviews@3`.", max_length=200)
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RowBody(_Body):
    """One row: a text or the fields of the template, and its prompt."""

    text: Annotated[
        str | None, Field(description="The text, for a template of one field. A row whose text is null gets an error.")
    ] = None
    fields: Annotated[dict[str, JsonValue] | None, Field(description="The fields of the template by name.")] = None
    prompt_id: Annotated[PromptId | None, Field(description="Of this row; left out, that of the request.")] = None

    @model_validator(mode="after")
    def _validate_input(self) -> "RowBody":
        if self.text is None and self.fields is None and "text" in self.model_fields_set:
            return self  # this row alone gets an error, as one with a field of null does
        if (self.text is None) == (self.fields is None):
            raise ValueError("give either text or fields")
        return self

    @property
    def example(self) -> str | dict[str, Any]:
        """The row as an example; raises RowError if its text is null."""
        if self.fields is not None:
            return dict(self.fields)
        if self.text is None:
            raise RowError(422, "row", "text is null: drop the row or give it a text, if only an empty one")
        return self.text


class ClassifyBody(_Body):
    """A single row, or `rows`."""

    text: Annotated[str | None, Field(description="The text, for a template of one field.")] = None
    fields: Annotated[dict[str, JsonValue] | None, Field(description="The fields of the template by name.")] = None
    rows: Annotated[list[RowBody] | None, Field(description="Several rows, each with its own prompt if need be.")] = (
        None
    )
    prompt_id: Annotated[PromptId | None, Field(description="Of the row, or of all rows that name none.")] = None

    @model_validator(mode="after")
    def _validate_input(self) -> "ClassifyBody":
        if sum(value is not None for value in (self.text, self.fields, self.rows)) != 1:
            raise ValueError("give one of text, fields and rows")
        if self.prompt_id is None and (self.rows is None or not all(row.prompt_id for row in self.rows)):
            raise ValueError("give a prompt_id")
        return self

    @property
    def all_rows(self) -> list[RowBody]:
        """The rows, each with its prompt."""
        if self.rows is not None:
            given = {"prompt_id": self.prompt_id}
            return [row if row.prompt_id else row.model_copy(update=given) for row in self.rows]
        return [RowBody(text=self.text, fields=self.fields, prompt_id=self.prompt_id)]


class ExplainBody(RowBody):
    """One row to explain."""

    prompt_id: PromptId
    top: Annotated[
        int, Field(ge=0, le=100, strict=True, description="Number of the likeliest words of the vocabulary.")
    ] = 10


class GenerateBody(ClassifyBody):
    """A single row for which a text is written, or `rows`."""

    max_new_tokens: Annotated[
        int | None,
        Field(
            ge=1, strict=True, description="New tokens at most; left out, as many as the version of the prompt says."
        ),
    ] = None
    stream: Annotated[bool, Field(strict=True, description="True for server-sent events; for a single row.")] = False


class HubParameters(BaseModel):
    """Parameters as the hub's client sends them; others are ignored, as there."""

    top_k: Annotated[int | None, Field(ge=1, strict=True)] = None


class HubBody(BaseModel):
    """A request in the shape of the hub's text classification."""

    inputs: str | list[str]
    parameters: HubParameters | None = None


class RowAnswer(BaseModel):
    """The answer to one row: a label, or labels where an example may have several, or an error."""

    label: Annotated[JsonValue, Field(description="The most probable label.")] = None
    labels: Annotated[
        list[JsonValue] | None, Field(description="The labels, of a prompt of several labels an example.")
    ] = None
    probabilities: dict[str, float] | None = None
    prompt_id: str | None = None
    version: int | None = None
    tokens: Annotated[
        int | None,
        Field(description="Tokens and soft slots of the prompt with the text after truncation, without masks."),
    ] = None
    cut: Annotated[dict[str, int] | None, Field(description="Tokens that truncation removed, by field.")] = None
    error: str | None = None
    code: str | None = None


class RowsAnswer(BaseModel):
    """The answers to several rows, in their order."""

    rows: list[RowAnswer]


class TextAnswer(BaseModel):
    """A text that was written."""

    text: Annotated[str, Field(description="The text, without its stop string.")]
    prompt_id: str
    version: int
    tokens: Annotated[int, Field(description="Tokens and soft slots of the prompt with the row after truncation.")]
    new_tokens: Annotated[int, Field(description="Tokens that were written, with those of a stop string.")]
    finish: Annotated[
        Literal["stop", "end", "length"],
        Field(description="What ended the text: a stop string, the end token, or the number of new tokens."),
    ]
    cut: Annotated[dict[str, int], Field(description="Tokens that truncation removed, by field.")]


class FailedRow(BaseModel):
    """A row of several for which no text was written."""

    error: str
    code: str


class TextsAnswer(BaseModel):
    """The texts for several rows, in their order."""

    rows: list[TextAnswer | FailedRow]


class Failure(BaseModel):
    """A request that was not answered."""

    error: str
    code: str
    row: int | None = None


class VersionAnswer(BaseModel):
    """A version of a prompt, which gives labels, or of a generator, which writes text."""

    version: int
    kind: Annotated[Literal["prompt", "generator"], Field(description="Of a prompt: POST /classify; else /generate.")]
    aliases: list[str]
    labels: Annotated[list[JsonValue], Field(description="None of a generator.")]
    several_labels: bool
    choices: Annotated[str | None, Field(description="The field whose texts are the choices of a row.")]
    fields: list[str]
    template: str
    model: str
    trained: bool
    max_new_tokens: Annotated[
        int | None, Field(description="Of a generator: new tokens at most, where a request does not say.")
    ]
    sha256: Annotated[str, Field(description="Checksum of the version's card.")]
    examples: Annotated[
        list[str | dict[str, str | list[str]]],
        Field(description="To try: a text, or fields, as they were given with the version."),
    ]


class PromptAnswer(BaseModel):
    """A prompt: its versions that are served, and why others are not."""

    prompt_id: str
    aliases: dict[str, int]
    versions: list[VersionAnswer]
    faults: list[str]


class PromptsAnswer(BaseModel):
    """All prompts of the registry."""

    model: str
    prompts: list[PromptAnswer]


class HubScore(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class ExplainedWord(BaseModel):
    """A label word: its tokens, its log-probability in nats, its score and its share of its label's score."""

    label: JsonValue
    word: str
    tokens: list[str]
    log_probability: float
    score: float
    share: float


class LikelyWord(BaseModel):
    """A word of the vocabulary: its probability at the mask, and its label if it is a label word."""

    token: str
    probability: float
    label: JsonValue = None


class ExplainedPart(BaseModel):
    """The parts of the label words and of a linear layer in a label's score."""

    label: JsonValue
    words: float
    linear: float


class Explained(RowAnswer):
    """The answer to a row, as `POST /classify` gives it, and the reasons for it."""

    words: list[ExplainedWord]
    top: list[LikelyWord]
    mass: Annotated[float, Field(description="Probability of all label words together.")]
    parts: list[ExplainedPart]


class LabelStudioSetup(BaseModel):
    """A project of Label Studio; what else it says is ignored."""

    config: Annotated[str, Field(alias="schema", description="The labelling configuration.")]


class LabelStudioBody(BaseModel):
    """Tasks of Label Studio, each with `data`; what else it says is ignored."""

    tasks: list[JsonValue]
    config: Annotated[str, Field(alias="label_config", description="The labelling configuration.")]


class LabelStudioVersion(BaseModel):
    """The version of the prompt, as in `reviews@3`."""

    model_version: str


class LabelStudioPrediction(BaseModel):
    """The choices of a task, if there are any, and their probability."""

    result: list[dict[str, Any]]
    score: float
    model_version: str


class LabelStudioAnswer(LabelStudioVersion):
    """The predictions for the tasks, in their order; a list without any for a task to be asked for again."""

    results: list[LabelStudioPrediction | list[LabelStudioPrediction]]
