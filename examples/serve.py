"""A FastAPI application of one's own with the routes of the service under /api, for a page of another origin.

Run it as it stands; `examples/serve_page` has a page for Next.js that calls it:

    npx create-next-app@latest my-page --yes
    cp examples/serve_page/app/* my-page/app/
    cd my-page && npm run dev
"""

import os

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from softcloze import Prompt, Template, Verbalizer, load_backbone
from softcloze.registry import Registry
from softcloze.service import Service, make_router

backbone = load_backbone("starter:bert-tiny")
registry = Registry("prompts")
words = Verbalizer({"positive": ["good", "great"], "negative": ["bad", "terrible"]})
prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
registry.promote(str(registry.add(prompt, "reviews")))  # the same prompt again is the version that exists

app = FastAPI(title="My application")
app.add_middleware(
    CORSMiddleware,
    allow_origins=[os.environ.get("PAGE", "http://localhost:3000")],  # where `npm run dev` serves the page
    allow_methods=["GET", "POST"],
    allow_headers=["Content-Type"],
    expose_headers=["Retry-After"],  # so that the page sees how long to wait after 429
)
app.include_router(make_router(Service(registry, backbone)), prefix="/api")  # starts and stops with the application


@app.get("/")
def own_route() -> dict[str, str]:
    """A route of the application itself."""
    return {"routes of the service": "/api"}


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    print(f"POST http://localhost:{port}/api/classify takes {{text, prompt_id}}; the prompt is reviews", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
