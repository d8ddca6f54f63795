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

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softcloze.service.app import create_app as create_app
    from softcloze.service.router import make_router as make_router
    from softcloze.service.service import Service as Service
    from softcloze.service.settings import ServiceSettings as ServiceSettings

_MODULES = {"Service": "service", "ServiceSettings": "settings", "create_app": "app", "make_router": "router"}

# spelt out for tools that read the code without running it, as the site of the documentation does
__all__ = ["Service", "ServiceSettings", "create_app", "make_router"]


def __getattr__(name: str) -> object:
    """Import public names when they are asked for: the command line reads settings before it imports torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'softcloze.service' has no attribute {name!r}")
    return getattr(import_module(f"softcloze.service.{_MODULES[name]}"), name)
