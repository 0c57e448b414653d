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
"""Puts files on the Hub: all in one commit, or nothing."""

import fnmatch
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from .signature import is_untouched


CARD = "README.md"
# Files of an older push of a model that would be loaded beside or instead of the new ones.
SUPERSEDED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
    "pytorch_model*",
    "adapter_config.json",
    "adapter_model.*",
    "training_args.bin",
    "*_ftfv.py",
)


@dataclass(frozen=True)
class PlannedFile:
    """
    A file to publish.

    Attributes:
        path (`str`): where it goes in the repository.
        content (`Path` or `bytes`): the file, or what is in it.
    """

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True)
class Outcome:
    """
    What a push did.

    Attributes:
        commit (`str`): the commit that now holds the files.
        url (`str`): where to look at it, or at the pull request.
        is_new (`bool`): whether a commit was made; not if the Hub had all of it already.
        removed (`tuple[str, ...]`): files of an older push that the commit removed.
        kept_card (`bool`): whether a person's README.md on the Hub was left as it is.
    """

    commit: str
    url: str
    is_new: bool
    removed: tuple[str, ...]
    kept_card: bool


def push_files(
    files: Sequence[PlannedFile],
    repo_id: str,
    *,
    message: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    space_sdk: str | None = None,
) -> Outcome:
    """
    Publishes files as one commit. Interrupted anywhere before it, the repository shows what it showed, and the same
    call completes the push. Of a model, weights, adapters and code of an older push are removed in the same commit;
    other files stay, and so does a README.md that [`sign`] did not sign or that was edited since.

    Args:
        files (`Sequence[PlannedFile]`): what to publish.
        repo_id (`str`): `"organisation/name"`; made if it does not exist.
        message (`str`): of the commit.
        private (`bool`, *optional*, defaults to `False`): whether a new repository is private.
        revision (`str`, *optional*, defaults to the main branch): branch to push to, made if it does not exist.
        create_pr (`bool`, *optional*, defaults to `False`): open a pull request instead.
        space_sdk (`str`, *optional*): what runs the files, such as `"gradio"`, if they go to a Space and not to a
            model.

    Raises:
        PermissionError: nobody is logged in.
        ValueError: the repository is public and `private` is asked for, or both a branch and a pull request are.
        HfHubHTTPError: the Hub refused, for instance because somebody else pushed meanwhile.
    """
    if create_pr and revision is not None:
        raise ValueError(f"A pull request goes to the main branch, not to {revision!r}; leave one of the two out.")
    if get_token() is None:
        raise PermissionError("Nobody is logged in to the Hub; run `hf auth login`, or set HF_TOKEN.")
    api = HfApi()
    repo_type = "model" if space_sdk is None else "space"
    head, present = _prepare(api, repo_id, private, revision, repo_type, space_sdk)
    planned = {file.path: file for file in files}
    kept_card = (
        CARD in present and CARD in planned and _is_a_persons(api, repo_id, repo_type, head, planned[CARD].read())
    )
    if kept_card:
        del planned[CARD]
    removed = []
    if repo_type == "model":
        removed = [path for path in sorted(present - planned.keys()) if _is_superseded(path)]
    commit = api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(file.path, file.content) for file in planned.values()),
            *(CommitOperationDelete(path) for path in removed),
        ],
        commit_message=message,
        repo_type=repo_type,
        revision=revision,
        create_pr=create_pr,
        parent_commit=head,
    )
    return Outcome(commit.oid, commit.pr_url or commit.commit_url, commit.oid != head, tuple(removed), kept_card)


def _prepare(
    api: HfApi, repo_id: str, private: bool, revision: str | None, repo_type: str, space_sdk: str | None
) -> tuple[str, set[str]]:
    """Makes what is missing of repository and branch; returns the latest commit and its files."""
    try:
        info = api.repo_info(repo_id, repo_type=repo_type)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, repo_type=repo_type, space_sdk=space_sdk, private=private or None, exist_ok=True)
        info = api.repo_info(repo_id, repo_type=repo_type)
    if private and not info.private:
        raise ValueError(
            f"{repo_id!r} exists and is public, so --private would publish; make it private on the Hub first, or "
            "choose another name."
        )
    if revision is not None:
        try:
            info = api.repo_info(repo_id, repo_type=repo_type, revision=revision)
        except RevisionNotFoundError:
            api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)
            info = api.repo_info(repo_id, repo_type=repo_type, revision=revision)
    if info.sha is None:
        raise ValueError(f"The Hub names no commit of {repo_id!r}; expected one, also of an empty repository.")
    return info.sha, {sibling.rfilename for sibling in info.siblings or []}


def _is_a_persons(api: HfApi, repo_id: str, repo_type: str, commit: str, planned: bytes) -> bool:
    """Whether a person wrote or edited the card on the Hub, and it is not the one that is to be pushed."""
    with tempfile.TemporaryDirectory() as scratch:
        path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=commit, cache_dir=scratch)
        card = Path(path).read_bytes()
    return card != planned and not is_untouched(card.decode(errors="replace"))


def _is_superseded(path: str) -> bool:
    return "/" not in path and any(fnmatch.fnmatchcase(path, pattern) for pattern in SUPERSEDED)
