"""Settings of the service, with their ranges."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path

from softcloze.parameters import NONE, PATH, POSITIVE, TEXT, Constraint, integer, validate_parameters

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_CONSTRAINTS: Mapping[str, Constraint] = {
    "token": TEXT | NONE,
    "max_rows": integer(at_least=1),
    "max_body_bytes": integer(at_least=1),
    "max_field_characters": integer(at_least=1),
    "max_batch_tokens": integer(at_least=1) | NONE,
    "max_new_tokens": integer(at_least=1),
    "max_request_new_tokens": integer(at_least=1),
    "prefix_memory": integer(at_least=0),
    "max_wait": POSITIVE,
    "deadline": POSITIVE,
    "poll_seconds": POSITIVE,
    "receive_seconds": POSITIVE,
    "drain_seconds": POSITIVE,
    "label_studio_events": PATH | NONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits of requests, batches and waiting.

    Attributes:
        token: that every request but those to /health has to send; None for a service without authorization.
        hosts: names of this service that the header Host may have, without ports; `*.a.example` for all
            below a name, and "*" for any.
        origins: origins of other sites whose pages may call the service.
        max_rows: of a request.
        max_body_bytes: of a request.
        max_field_characters: of all fields of a row together.
        max_batch_tokens: of a batch; None for eight times what the model takes at once in scoring. A batch that would
            take more than half a second has no more than the model takes at once.
        max_new_tokens: of a text that is written.
        max_request_new_tokens: of all texts of a request together; a single text may have `max_new_tokens`.
        prefix_memory: for the keys and values of what prompts begin with.
        max_wait: seconds of queued work beyond which requests are turned away with 429.
        deadline: seconds after which a row that waits, or a text that is not written, is answered with 504.
        poll_seconds: between two looks at the registry.
        receive_seconds: in which a request has to arrive, headers and body together.
        drain_seconds: in which rows are still answered, and texts written, after SIGTERM.
        label_studio_events: file that gets a line of JSON for each event of Label Studio, with its texts; None to drop
            them.

    Raises:
        ParameterError: a value is outside its range.
    """

    token: str | None = None
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    max_rows: int = 64
    max_body_bytes: int = 256 * 1024
    max_field_characters: int = 20_000
    max_batch_tokens: int | None = None
    max_new_tokens: int = 256
    max_request_new_tokens: int = 4096
    prefix_memory: int = 64 * 2**20
    max_wait: float = 10.0
    deadline: float = 30.0
    poll_seconds: float = 2.0
    receive_seconds: float = 10.0
    drain_seconds: float = 20.0
    label_studio_events: str | Path | None = None

    def __post_init__(self) -> None:
        validate_parameters(asdict(self), _CONSTRAINTS)


def is_loopback(host: str) -> bool:
    """Return True for an address that other machines cannot reach.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def hosts_of(host: str, allowed: Sequence[str] = ()) -> tuple[str, ...]:
    """The names that the header Host may have.

    Args:
        host: address to listen at.
        allowed: more names of this service; without one, a service that other machines reach takes any name.
    """
    return (*LOOPBACK, host, *allowed) if is_loopback(host) or allowed else ("*",)
