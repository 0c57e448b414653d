# Copyright 2026 The FTFV Authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""A small Hugging Face Hub in memory, for tests: models and Spaces, commits, LFS uploads, downloads."""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


Response = tuple[int, dict[str, str], Any]

LFS_SUFFIXES = (".safetensors", ".png", ".bin")
REPO = r"((?:spaces/)?[^/]+/[^/]+)"


def git_digest(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class QuietServer(ThreadingHTTPServer):
    """Says nothing about connections that clients drop."""

    daemon_threads = True

    def handle_error(self, request: Any, address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, address)


class Repository:
    """
    Commits of a repository, whose id starts with `spaces/` for a Space.

    Attributes:
        commits (`dict[str, dict]`): by their digest, with `files` (content by path), `message` and `parent`.
        branches (`dict[str, str]`): latest commit of each branch and pull request.
    """

    def __init__(self, repo_id: str, private: bool):
        self.id, self.private = repo_id, private
        self.commits: dict[str, dict[str, Any]] = {}
        self.branches: dict[str, str] = {}
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        parent = self.branches.get(branch)
        digest = hashlib.sha1(f"{self.id} {branch} {message} {len(self.commits)}".encode()).hexdigest()
        self.commits[digest] = {"files": dict(files), "message": message, "parent": parent}
        self.branches[branch] = digest
        return digest

    def resolve(self, revision: str | None) -> str | None:
        """The commit that a branch, a pull request or a digest names."""
        revision = unquote(revision or "main")
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[revision]]["files"]


class HubStub:
    """
    The server. `before` and `after` are called with the number of every request, counted from 0, before it is handled
    and before it is answered; a `ConnectionError` that one of them raises ends the connection there.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None
        self.lock = threading.RLock()

    def __enter__(self) -> Self:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and content go out one after the other

            def log_message(self, *arguments: Any) -> None:
                """Silence."""

            def handle_request(self) -> None:
                try:
                    self.answer(self.read_body())
                except ConnectionError:
                    self.close_connection = True  # whoever asked is gone, or is to think so

            def answer(self, body: bytes) -> None:
                with stub.lock:
                    number = len(stub.requests)
                    stub.requests.append((self.command, self.path))
                    stub.before(number)
                    url = urlsplit(self.path)
                    token = self.headers.get("Authorization")
                    code, headers, content = stub.respond(
                        self.command, url.path, parse_qs(url.query), body, token is not None, self.headers.get("Range")
                    )
                    stub.after(number)
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                    headers = {"Content-Type": "application/json", **headers}
                self.send_response(code)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_request

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def respond(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, has_token: bool, byte_range: str | None
    ) -> Response:
        if path == "/api/whoami-v2":
            return 200, {}, {"type": "user", "name": "me", "orgs": [{"name": "org"}]}
        if path == "/api/validate-yaml":
            return 200, {}, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self.create(json.loads(body), has_token)
        if method == "PUT" and path.startswith("/lfs/"):
            self.lfs[path.rpartition("/")[2]] = body
            return 200, {}, b""
        if match := re.fullmatch(rf"/{REPO}\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body)["objects"])
        if match := re.fullmatch(r"/api/(models|spaces)/([^/]+/[^/]+)(?:/([\w-]+)(?:/([^/]+)(?:/(.*))?)?)?", path):
            kind, repo_id, verb, revision, rest = match.groups()
            repo_id = repo_id if kind == "models" else f"spaces/{repo_id}"
            repository = self.repositories.get(repo_id)
            if repository is None:
                return refuse(404 if has_token else 401, "RepoNotFound", f"Repository not found: {repo_id}")
            if method == "POST" and not has_token:
                return refuse(401, "Unauthorized", "no token")
            return self.api(repository, verb, revision, unquote(rest or ""), query, body)
        if match := re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", path):
            repo_id, revision, name = match.groups()
            repository = self.repositories.get(repo_id)
            if repository is None:
                return refuse(404 if has_token else 401, "RepoNotFound", f"Repository not found: {repo_id}")
            return download(repository, revision, unquote(name), byte_range)
        return 404, {}, {"error": f"the stub does not know {method} {path}"}

    def create(self, settings: dict[str, Any], has_token: bool) -> Response:
        if not has_token:
            return refuse(401, "Unauthorized", "no token")
        repo_id = f"{settings.get('organization') or 'me'}/{settings['name']}"
        if settings.get("type") == "space":
            if "sdk" not in settings:
                return refuse(400, "BadRequest", "a Space needs an sdk")
            repo_id = f"spaces/{repo_id}"
        answer = {"url": f"{self.url}/{repo_id}", "name": repo_id, "id": repo_id}
        if repo_id in self.repositories:
            return 409, {}, {"error": "You already created this repo", **answer}
        private = settings.get("private") is True or settings.get("visibility") == "private"
        self.repositories[repo_id] = Repository(repo_id, private)
        return 200, {}, answer

    def batch(self, objects: list[dict[str, Any]]) -> Response:
        answers = []
        for entry in objects:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.lfs:
                answer["actions"] = {"upload": {"href": f"{self.url}/lfs/{entry['oid']}"}}
            answers.append(answer)
        return 200, {}, {"transfer": "basic", "objects": answers}

    def api(
        self, repository: Repository, verb: str | None, revision: str | None, rest: str, query: dict, body: bytes
    ) -> Response:
        if verb == "branch":
            start = json.loads(body or b"{}").get("startingPoint")
            repository.branches[unquote(revision)] = repository.resolve(start)
            return 200, {}, {}
        if verb == "refs":
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in repository.branches.items()
            ]
            return 200, {}, {"branches": branches, "tags": [], "converts": []}
        digest = repository.resolve(revision)
        if digest is None:
            return refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[digest]["files"]
        if verb in (None, "revision"):
            return 200, {}, describe(repository, digest)
        if verb == "tree":
            return 200, {}, [entry(name, files[name]) for name in sorted(files) if name.startswith(rest)]
        if verb == "paths-info":
            paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
            return 200, {}, [entry(name, files[name]) for name in paths if name in files]
        if verb == "preupload":
            answers = []
            for file in json.loads(body)["files"]:
                name = file["path"]
                known = entry(name, files[name]) if name in files else {}
                answers.append(
                    {
                        "path": name,
                        "uploadMode": "lfs" if name.endswith(LFS_SUFFIXES) else "regular",
                        "shouldIgnore": False,
                        "oid": known.get("lfs", known).get("oid"),
                    }
                )
            return 200, {}, {"files": answers, "commitOid": digest}
        if verb == "commit":
            return self.commit(repository, unquote(revision), digest, query.get("create_pr") == ["1"], body)
        return 404, {}, {"error": f"the stub does not know {verb}"}

    def commit(self, repository: Repository, branch: str, head: str, create_pr: bool, body: bytes) -> Response:
        files, message = dict(repository.commits[head]["files"]), ""
        for line in body.splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, head):
                    return 412, {}, {"error": "A commit has happened since. Please refresh and try again."}
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.lfs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        number = sum(name.startswith("refs/pr/") for name in repository.branches) + 1
        if create_pr:
            branch = f"refs/pr/{number}"
            repository.branches[branch] = head
        digest = repository.commit(branch, files, message)
        answer = {
            "success": True,
            "commitOid": digest,
            "commitUrl": f"{self.url}/{repository.id}/commit/{digest}",
            "pullRequestUrl": f"{self.url}/{repository.id}/discussions/{number}" if create_pr else None,
            "hookOutput": "",
        }
        return 200, {}, answer


def refuse(code: int, kind: str, message: str) -> Response:
    return code, {"X-Error-Code": kind, "X-Error-Message": message}, {"error": message}


def describe(repository: Repository, digest: str) -> dict[str, Any]:
    """A repository at a commit, with what its card says."""
    files = repository.commits[digest]["files"]
    match = re.match(rb"---\n(.*?)\n---", files.get("README.md", b""), re.DOTALL)
    card = yaml.safe_load(match.group(1)) if match else {}
    return {
        "_id": digest[:24],
        "id": repository.id.removeprefix("spaces/"),
        "modelId": repository.id,
        "sha": digest,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card.get("tags", []),
        "cardData": card,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "siblings": [{"rfilename": name} for name in sorted(files)],
        **{name: card[name] for name in ("pipeline_tag", "library_name") if name in card},
    }


def entry(name: str, content: bytes) -> dict[str, Any]:
    """A file as listings show it."""
    found: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_digest(content)}
    if name.endswith(LFS_SUFFIXES):
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
    return found


def download(repository: Repository, revision: str, name: str, byte_range: str | None) -> Response:
    digest = repository.resolve(revision)
    if digest is None:
        return refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    headers = {"X-Repo-Commit": digest}
    content = repository.commits[digest]["files"].get(name)
    if content is None:
        code, more, answer = refuse(404, "EntryNotFound", "Entry not found")
        return code, headers | more, answer
    listed = entry(name, content)
    headers |= {"ETag": f'"{listed.get("lfs", listed)["oid"]}"', "Accept-Ranges": "bytes"}
    if byte_range is None:
        return 200, headers, content
    first, last = byte_range.removeprefix("bytes=").split("-")
    start, end = int(first), min(int(last or len(content)), len(content) - 1)
    return 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}, content[start : end + 1]
