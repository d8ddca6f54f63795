"""A service that answers over HTTP with the prompts of a registry, all on one frozen model.

`softcloze serve` runs it. In an application of your own:

    from fastapi import FastAPI
    from softcloze import load_backbone
    from softcloze.registry import Registry
    from softcloze.service import Service, make_router

    app = FastAPI()
    service = Service(Registry("prompts"), load_backbone("starter:bert-tiny"))
    app.include_router(make_router(service), prefix="/api")

It needs `pip install 'softcloze[serve]'`.
"""

from softcloze.service.app import create_app
from softcloze.service.router import make_router
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

__all__ = ["Service", "ServiceSettings", "create_app", "make_router"]
