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
"""`ftfv push`: a model folder, checked, with a card, as one commit on the Hub, and a Space to try it in."""

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ftfv push`."""
    parser.add_argument("folder", metavar="DIR", help="saved model with its processor")
    parser.add_argument("repo_id", metavar="ORG/NAME", help="repository on the Hub; made if it does not exist")
    parser.add_argument("--dry-run", action="store_true", help="check, show files, sizes and card, and contact nobody")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--message", default="Upload an FTFV model", help="of the commit")
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="PATTERN", help="files or folders that stay behind"
    )
    parser.add_argument("--license", metavar="ID", help="of the weights, an identifier of the Hub (default: unknown)")
    parser.add_argument("--license-name", metavar="NAME", help="with --license other")
    parser.add_argument("--license-link", metavar="URL", help="with --license other")
    parser.add_argument(
        "--base-model",
        nargs="+",
        default=[],
        metavar="ID[=LICENCE]",
        help="what the model was made of, such as Qwen/Qwen-VL=LICENCE",
    )
    parser.add_argument("--dataset", nargs="+", default=[], metavar="ID", help="data on the Hub it was trained on")
    parser.add_argument(
        "--recipe",
        metavar="RECIPE",
        help="name or path of the recipe that made it (default: recipe.yaml beside DIR, if `ftfv train` wrote one)",
    )
    parser.add_argument(
        "--results", nargs="+", default=[], metavar="FILE", help=".yaml in the Hub's format, or .json with `scores`"
    )
    parser.add_argument("--video", metavar="CLIP", help="video for check and picture (default: a square that moves)")
    parser.add_argument(
        "--space",
        nargs="?",
        const="",
        metavar="ORG/SPACE",
        help="then push a Space that asks the model about videos (default name: that of the model); its README.md "
        "stays once a person has edited it, its other files are replaced",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> dict[str, object] | None:
    """Checks, writes the card, pushes, and prints what was done or returns it as the document of `--json`."""
    _check(args)

    import tempfile

    from transformers.utils import logging

    from .hub_upload.space_files import SPACE_SDK, plan_space

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        files = _plan(args, Path(scratch))
        document = _publish(
            files, args.repo_id, args, message=args.message, revision=args.revision, create_pr=args.create_pr
        )
    if not args.json:
        _show(document)
    if args.space is not None:
        space = _publish(
            plan_space(args.repo_id),
            args.space or args.repo_id,
            args,
            message=f"Upload a Space for {args.repo_id}",
            space_sdk=SPACE_SDK,
        )
        document["space"] = space
        if not args.json:
            print(f"\nThe Space {space['repo_id']}:")
            _show(space)
    return document if args.json else None


def _publish(files: list, repo_id: str, args: argparse.Namespace, **options: Any) -> dict[str, Any]:
    """What was pushed, or with `--dry-run` would be, as a document; `options` are those of [`push_files`]."""
    from .hub_upload.push import CARD, push_files

    document = {
        "repo_id": repo_id,
        "dry_run": args.dry_run,
        "files": [{"path": file.path, "size": file.size} for file in files],
        "bytes": sum(file.size for file in files),
    }
    if args.dry_run:
        card = next(file for file in files if file.path == CARD)
        return {**document, "card": card.read().decode()}
    outcome = push_files(files, repo_id, private=args.private, **options)
    return {
        **document,
        "commit": outcome.commit,
        "url": outcome.url,
        "is_new": outcome.is_new,
        "removed": list(outcome.removed),
        "kept_card": outcome.kept_card,
    }


def _show(document: dict[str, Any]) -> None:
    for file in document["files"]:
        print(f"{file['size']:>15,}  {file['path']}")
    print(f"{document['bytes']:>15,}  bytes in {len(document['files'])} files")
    if document["dry_run"]:
        print(f"\n{document['card']}")
        return
    if document["kept_card"]:
        print("README.md on the Hub was written or edited by a person and stays; delete it there for a new one.")
    for path in document["removed"]:
        print(f"removed from the Hub: {path}")
    url, commit = document["url"], document["commit"]
    print(url if document["is_new"] else f"nothing has changed since {commit}; no commit was made")


def _check(args: argparse.Namespace) -> None:
    import re

    if not Path(args.folder).is_dir():
        raise FileNotFoundError(f"No folder {args.folder!r}; expected a saved model with its processor.")
    for what, repo_id in (("repository", args.repo_id), ("Space", args.space or args.repo_id)):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
            raise ValueError(f"The {what} is {repo_id!r}; expected 'organisation/name'.")
    if (args.license_name or args.license_link) and args.license != "other":
        raise ValueError(
            f"--license is {args.license!r}; expected 'other' with --license-name and --license-link, which describe "
            "a licence that the Hub does not know."
        )
    if args.create_pr and args.revision is not None:
        raise ValueError(f"--create-pr goes to the main branch; leave --revision {args.revision} out, or --create-pr.")
    if args.space is not None and (args.create_pr or args.revision is not None):
        option = "--create-pr" if args.create_pr else f"--revision {args.revision}"
        raise ValueError(
            f"--space runs the main branch of the model, which {option} leaves as it is; leave one of the two out."
        )


def _plan(args: argparse.Namespace, scratch: Path) -> list:
    """All files to publish, checked, in order of their paths; some lie in `scratch`."""
    from .hub_upload.card import BaseModel, CardFacts, render_card
    from .hub_upload.checks import PICTURE, check_folder, check_text
    from .hub_upload.push import CARD, PlannedFile
    from .hub_upload.results import read_results
    from .hub_upload.signature import is_untouched
    from .hub_upload.trial import try_out
    from .modeling_ftfv.configuration_ftfv import FTFVConfig

    folder = Path(args.folder)
    base_models = tuple(BaseModel.parse(text) for text in args.base_model)
    stage, recipe = _read_recipe(folder, args.recipe)
    results = [read_results(path) for path in args.results]
    paths = check_folder(folder, args.exclude)
    planned = {path.as_posix(): folder / path for path in paths}
    results += [read_results(path) for name, path in planned.items() if name.startswith(".eval_results/")]
    try_out(folder, scratch / PICTURE, args.video)
    planned[PICTURE] = scratch / PICTURE
    for path in map(Path, args.results):
        if path.suffix == ".yaml":
            planned[f".eval_results/{path.name}"] = path
            check_text(path.name, [path.read_text(encoding="utf-8")])
    files = {name: PlannedFile(name, path) for name, path in planned.items()}
    own_card = files.get(CARD)
    if own_card is None or is_untouched(own_card.read().decode(errors="replace")):
        facts = CardFacts(
            repo_id=args.repo_id,
            licence=args.license,
            licence_name=args.license_name,
            licence_link=args.license_link,
            base_models=base_models,
            stage=stage,
            recipe=recipe,
            datasets=tuple(args.dataset),
            results=tuple(results),
            picture=PICTURE,
        )
        card = render_card(FTFVConfig.from_pretrained(folder), facts)
        check_text(CARD, [card])
        files[CARD] = PlannedFile(CARD, card.encode())
    return [files[name] for name in sorted(files)]


def _read_recipe(folder: Path, recipe: str | None) -> tuple[str | None, dict | None]:
    """Name of the stage and options of its recipe; `ftfv train` and the like leave recipe.yaml beside the model."""
    from .training.stages import read_recipe

    beside = folder.resolve().parent / "recipe.yaml"
    if recipe is None:
        return (beside.parent.name, read_recipe(beside)) if beside.is_file() else (None, None)
    path = Path(recipe)
    stage = path.resolve().parent.name if path.name == "recipe.yaml" else path.with_suffix("").name
    return stage, read_recipe(recipe)
