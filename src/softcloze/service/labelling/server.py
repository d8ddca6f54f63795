"""Serve the page for labelling until its end."""

import asyncio
import socket
import webbrowser
from collections.abc import Callable, Mapping

from softcloze.errors import ParameterError
from softcloze.labelling import Labeller
from softcloze.service.labelling.app import labelling_app
from softcloze.service.labelling.desk import Finish
from softcloze.service.server import Server, configure
from softcloze.service.settings import ServiceSettings, hosts_of, is_loopback

PORT = 8001
_LINGER = 2.0  # seconds after the end in which a browser without a script still gets the style of the last page


def serve_labelling(
    labeller: Labeller,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    name: str = "",
    finish: Finish | None = None,
    open_browser: bool = False,
    token: str | None = None,
    on_start: Callable[[str], object] | None = None,
) -> Mapping[str, object] | None:
    """Serve the page for labelling until somebody ends the labelling on it, or until SIGINT or SIGTERM.

    Every answer is on disk before the next text is shown, so that the process may be killed at any time.

    Args:
        labeller: the labelling; its folder keeps the answers. It is not closed at the end.
        host: address to listen at. Any but loopback needs a token.
        port: 0 for any that is free.
        name: of the person, which the page offers and which may be changed on it. At another address than loopback the
            page asks each person for a name.
        finish: as for `labelling_app`.
        open_browser: open the page in the browser.
        token: that every request has to send; browsers ask for it as a password.
        on_start: called with the address of the page when the server listens.

    Returns:
        What `finish` returned; None if the page did not end the labelling, and the results are not written.

    Raises:
        ParameterError: the port cannot be used, or another address than loopback has no token.
    """
    if not is_loopback(host) and token is None:
        raise ParameterError(f"host {host} lets other machines in; give a token, or host 127.0.0.1 for this machine")
    settings = ServiceSettings(token=token, hosts=hosts_of(host), drain_seconds=_LINGER)
    app = labelling_app(
        labeller,
        name=name if is_loopback(host) else None,
        finish=finish,
        stop=lambda: asyncio.get_running_loop().call_later(_LINGER, setattr, server, "should_exit", True),
        settings=settings,
    )
    server = Server(configure(app, host, port, settings))
    with _listen(host, port) as listening:
        shown = host if ":" not in host or host.startswith("[") else f"[{host}]"
        address = f"http://{shown}:{listening.getsockname()[1]}"
        if on_start is not None:
            on_start(address)
        if open_browser:
            webbrowser.open(address)
        server.run(sockets=[listening])
    results: Mapping[str, object] | None = app.state.desk.results
    return results


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that a browser that comes early waits."""
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        return socket.create_server((plain, port), family=family)
    except OSError as error:
        raise ParameterError(
            f"port {port} of {host} cannot be used: {error.strerror or error}; give another port, or 0 for any free one"
        ) from error
