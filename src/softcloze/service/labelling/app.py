"""The application of the page for labelling."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from softcloze.labelling import Labeller
from softcloze.service.labelling.desk import Desk, Finish
from softcloze.service.labelling.page import add_labelling_page
from softcloze.service.metrics import Metrics
from softcloze.service.protection import PRIVATE, protect
from softcloze.service.settings import ServiceSettings


def labelling_app(
    labeller: Labeller,
    *,
    name: str | None = "",
    finish: Finish | None = None,
    stop: Callable[[], object] | None = None,
    settings: ServiceSettings | None = None,
) -> FastAPI:
    """Make the application of the page for labelling.

    It reads the texts in a thread when it starts, and says how far it is; the page answers at once.

    Args:
        labeller: the labelling. It is not closed when the application ends.
        name: of the person, which the page offers and which may be changed on it; None to ask for one before the first
            text is shown.
        finish: writes the results when somebody ends the labelling on the page, and returns plain data about them, such
            as paths and figures, which the page shows. A `SoftclozeError` of it is shown as well, and the labelling
            goes on.
        stop: called after that.
        settings: token, names of the host, and limit of a body; the other settings have no effect.

    Returns:
        An ASGI application.
    """
    settings = settings if settings is not None else ServiceSettings()
    desk = Desk(labeller, finish)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        desk.reading.start()
        yield

    app = FastAPI(title="softcloze label", lifespan=lifespan, openapi_url=None, **PRIVATE)
    protect(app, settings, Metrics())
    add_labelling_page(app, desk, name, stop if stop is not None else lambda: None)
    app.state.desk = desk
    return app
