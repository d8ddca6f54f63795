"""A hub on loopback: the routes that huggingface_hub calls to create, read, commit to and tag a repository."""

import base64
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

USER, TOKEN = "alice", "hf_alice"


@dataclass
class Repository:
    """A repository: its commits in order, each with the content of all files."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def newest(self):
        return [*self.commits][-1]

    @property
    def files(self):
        return self.commits[self.newest]

    def commit(self, files):
        """Add a commit and return its hash."""
        oid = sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[oid] = files
        return oid

    def find(self, revision):
        """The commit of a branch, tag or hash; None if there is none."""
        revision = self.newest if revision == "main" else self.tags.get(revision, revision)
        return revision if revision in self.commits else None


class Hub:
    """The repositories of a hub by name, objects of LFS, and the requests that came.

    Attributes:
        url: its address.
        is_down: whether every request is answered with 503.
        on_commit: called with the name of a repository before it is committed to, as another client would.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self.is_down = False
        self.on_commit = lambda name: None

    def requested(self, method, part):
        """The paths of the requests of a method that hold a part."""
        return [path for kind, path in self.requests if kind == method and part in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b"", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _error(self, status, code, message):
        self._answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    @property
    def _user(self):
        return USER if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _serve(self):
        split = urlsplit(self.path)
        path, query, body = unquote(split.path), parse_qs(split.query), self._body()
        self.hub.requests.append((self.command, path))
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            return self._error(401, "", "Invalid credentials in Authorization header")
        if self.hub.is_down:
            return self._error(503, "", "Service Unavailable")
        for method, pattern, answer in _ROUTES:
            if self.command in method and (found := re.fullmatch(pattern, path)):
                return answer(self, *found.groups(), query=query, body=body)
        return self._error(404, "NotFound", f"no route {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - names of the base class

    def _repository(self, name):
        """A repository that this client may read; None, and an answer, for any other."""
        repository = self.hub.repositories.get(name)
        if repository is not None and (self._user == name.partition("/")[0] or not repository.private):
            return repository
        # the hub does not tell strangers whether a private repository exists
        self._error(404 if self._user else 401, "RepoNotFound", "Repository not found")
        return None

    def _at(self, name, revision):
        """A repository and the hash of a revision; None, and an answer, if there is none."""
        if (repository := self._repository(name)) is None:
            return None
        if (oid := repository.find(revision)) is None:
            self._error(404, "RevisionNotFound", "Invalid rev id")
            return None
        return repository, oid

    def whoami(self, *, query, body):
        if self._user is None:
            return self._error(401, "", "Invalid credentials")
        return self._answer(200, {"type": "user", "name": USER, "auth": {"type": "access_token"}})

    def create(self, *, query, body):
        wanted = json.loads(body)
        name = f"{wanted['organization'] or USER}/{wanted['name']}"
        if self._user is None:
            return self._error(401, "", "Invalid username or password.")
        if not name.startswith(f"{USER}/"):
            return self._error(403, "", "You don't have the rights to create a model under this namespace")
        if name in self.hub.repositories:
            return self._answer(409, {"error": "exists", "url": f"{self.hub.url}/{name}"})
        self.hub.repositories[name] = repository = Repository(wanted.get("visibility") == "private")
        repository.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        return self._answer(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def info(self, name, revision=None, *, query, body):
        if (found := self._at(name, revision or "main")) is None:
            return None
        repository, oid = found
        files = repository.commits[oid].items()
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files]
        if "blobs" not in query:
            siblings = [{"rfilename": path} for path, _ in files]
        return self._answer(
            200, {"id": name, "modelId": name, "sha": oid, "private": repository.private, "siblings": siblings}
        )

    def refs(self, name, *, query, body):
        if (repository := self._repository(name)) is None:
            return None
        tags = [{"name": k, "ref": f"refs/tags/{k}", "targetCommit": v} for k, v in repository.tags.items()]
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.newest}]
        return self._answer(200, {"branches": branches, "converts": [], "tags": tags})

    def tree(self, name, revision, *, query, body):
        if (found := self._at(name, revision)) is None:
            return None
        entries = []
        for path, content in found[0].commits[found[1]].items():
            entry = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
            if _is_large(path):
                entry["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 120}
            entries.append(entry)
        return self._answer(200, entries)

    def validate_yaml(self, *, query, body):
        return self._answer(200, {"errors": [], "warnings": []})

    def preupload(self, name, revision, *, query, body):
        if (found := self._at(name, revision)) is None:
            return None
        there = found[0].commits[found[1]]
        files = []
        for path in (file["path"] for file in json.loads(body)["files"]):
            mode = "lfs" if _is_large(path) else "regular"
            oid = None
            if path in there:
                oid = sha256(there[path]).hexdigest() if _is_large(path) else _blob(there[path])
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return self._answer(200, {"files": files})

    def lfs_batch(self, name, *, query, body):
        objects = json.loads(body)["objects"]
        upload = [
            {**wanted, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}} for wanted in objects
        ]
        return self._answer(200, {"transfer": "basic", "objects": upload})

    def lfs_put(self, oid, *, query, body):
        if sha256(body).hexdigest() != oid:
            return self._error(400, "", "another checksum")
        self.hub.objects[oid] = body
        return self._answer(200)

    def commit(self, name, revision, *, query, body):
        if (repository := self._repository(name)) is None:
            return None
        self.hub.on_commit(name)
        header, *operations = map(json.loads, body.splitlines())
        if header["value"].get("parentCommit", repository.newest) != repository.newest:
            return self._error(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(repository.files)
        for operation in operations:
            value = operation["value"]
            match operation["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = repository.commit(files)
        return self._answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def tag(self, name, revision, *, query, body):
        if (found := self._at(name, revision)) is None:
            return None
        repository, oid = found
        if (tag := json.loads(body)["tag"]) in repository.tags:
            return self._error(409, "", "Tag reference exists already")
        repository.tags[tag] = oid
        return self._answer(200, {})

    def resolve(self, name, revision, path, *, query, body):
        if (found := self._at(name, revision)) is None:
            return None
        repository, oid = found
        if (content := repository.commits[oid].get(path)) is None:
            return self._error(404, "EntryNotFound", "Entry not found")
        etag = sha256(content).hexdigest() if _is_large(path) else _blob(content)
        return self._answer(200, content, X_Repo_Commit=oid, ETag=f'"{etag}"')


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    (("GET",), r"/api/whoami-v2", _Handler.whoami),
    (("POST",), r"/api/repos/create", _Handler.create),
    (("POST",), r"/api/validate-yaml", _Handler.validate_yaml),
    (("GET",), rf"/api/models/{_NAME}/refs", _Handler.refs),
    (("GET",), rf"/api/models/{_NAME}/tree/(.+)", _Handler.tree),
    (("GET",), rf"/api/models/{_NAME}/revision/(.+)", _Handler.info),
    (("GET",), rf"/api/models/{_NAME}", _Handler.info),
    (("POST",), rf"/api/models/{_NAME}/preupload/(.+)", _Handler.preupload),
    (("POST",), rf"/api/models/{_NAME}/commit/(.+)", _Handler.commit),
    (("POST",), rf"/api/models/{_NAME}/tag/(.+)", _Handler.tag),
    (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (("PUT",), r"/lfs/([0-9a-f]{64})", _Handler.lfs_put),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]


def _is_large(path):
    """As the .gitattributes of a new repository has it."""
    return path.endswith(".safetensors")


def _blob(content):
    """The hash of a file in git."""
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving():
    """A hub that answers while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def client_of(url, cache, token=TOKEN, *, offline=False):
    """huggingface_hub of this process as it would be with HF_ENDPOINT, HF_HUB_CACHE, HF_TOKEN and HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage is another service
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))  # where no login is kept
        patch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            patch.setenv("HF_TOKEN", token)
        yield
