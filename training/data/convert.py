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
"""Turns the raw files of a known data set into a data set folder that `trl sft` trains on.

Rows are read and written one at a time. Where a subset is asked for, the files are read once more beforehand to choose
it.
"""

import json
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .dataset_folder import REQUEST_NAME, claim_folder, conversation_row, write_rows
from .media import write_atomically
from .media_files import MediaFolder, UnusableMedia, decoding_error, decoding_errors, media_reference
from .raw_files import RawFiles
from .samples import Media, MediaKind, PlacedSample, Rejection, Sample
from .sources import Source, find_source
from .subsets import PairChooser, Share, choose_share, rank


SPLIT = "train"
PICTURE_FOLDER = "images"
# How many of each kind of rejected record a report names.
NUM_NAMED = 5


@dataclass
class Problems:
    """Records of one kind that gave no row."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    """The first of them, with their reasons."""

    def add(self, place: str, reason: str) -> None:
        """Counts a record."""
        self.count += 1
        if len(self.first) < NUM_NAMED:
            self.first.append(f"{place}: {reason}")


@dataclass
class ConversionReport:
    """What became of a raw data set."""

    source: str
    folder: str
    rows: int = 0
    pairs: int = 0
    """Questions with an answer, in all rows."""
    videos: int = 0
    """Different videos."""
    images: int = 0
    """Different pictures."""
    videos_in_source: int | None = None
    """Different videos and pictures before the share was taken; None where all were taken."""
    not_chosen: int = 0
    """Records outside the subset that was asked for."""
    malformed: Problems = field(default_factory=Problems)
    """Records not of the form that the source has."""
    missing: Problems = field(default_factory=Problems)
    """Rows whose media file is not there or empty."""
    broken: Problems = field(default_factory=Problems)
    """Rows whose media file does not decode; only with `check_decode`."""

    def document(self) -> dict[str, object]:
        """The report as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Subset:
    """Which part of a data set is wanted; all of it by default."""

    fraction: float | None = None
    """Share of the videos, each with all its rows, or of the rows."""
    by: str = "video"
    """What `fraction` counts: `"video"` (pictures count likewise) or `"row"`."""
    pairs: int | None = None
    """Number of question-answer pairs, drawn from all that is left."""
    types: tuple[str, ...] | None = None
    """Types of question."""
    seed: int = 0
    """Names what is drawn."""

    def __post_init__(self) -> None:
        if self.by not in ("video", "row"):
            raise ValueError(f"`by` is {self.by!r}; expected 'video' or 'row'.")


def convert(
    source_name: str,
    files: Sequence[str | Path],
    output: str | Path,
    *,
    media_root: str | Path | None = None,
    subset: Subset | None = None,
    skip_missing: bool = False,
    check_decode: bool = False,
    progress: bool = True,
) -> ConversionReport:
    """Writes a data set folder from raw files.

    Args:
        source_name (`str`): a name in `SOURCES`.
        files (`Sequence[str | Path]`): its files, or folders with them.
        output (`str` or `Path`): folder to write; a rerun with the same request writes it anew.
        media_root (`str` or `Path`, *optional*): where the media lie that the files name; not needed where they are
            inside.
        subset (`Subset`, *optional*): which part is wanted; all of it if not given.
        skip_missing (`bool`, *optional*, defaults to `False`): whether rows without a usable media file are left out;
            otherwise one is an error.
        check_decode (`bool`, *optional*, defaults to `False`): whether a media file must also decode to be usable.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Returns:
        `ConversionReport`: what was kept and what was not. Malformed records are left out and counted.

    Raises:
        ValueError: media files are missing or broken and `skip_missing` is not set, no row is left, a file is broken,
            or an argument is out of range.
        FileNotFoundError: a file or folder is not there.
        FileExistsError: `output` holds files that are not ours.
    """
    source, subset = find_source(source_name), subset or Subset()
    _check_types(source_name, source, subset.types)
    output = Path(output)
    raw_files = RawFiles(files, source.patterns)
    request = {
        "source": source_name,
        "files": [str(Path(file).resolve()) for file in files],
        "media_root": None if media_root is None else str(Path(media_root).resolve()),
        "split": SPLIT,
        **asdict(subset),
    }
    conversion = _Conversion(
        source_name,
        source,
        raw_files,
        output,
        None if media_root is None else MediaFolder(media_root),
        subset,
        skip_missing,
        check_decode,
        progress,
    )
    is_new = not (output / REQUEST_NAME).is_file()
    claim_folder(output, request)
    try:
        conversion.choose()
        write_rows(output, SPLIT, conversion.rows(), lambda: _describe(source, request, conversion.report))
    except Exception:  # whatever it was; an interruption by hand continues with the same request
        if is_new:
            # The next try may well have another request, such as the right media root.
            (output / REQUEST_NAME).unlink(missing_ok=True)
            shutil.rmtree(output / PICTURE_FOLDER, ignore_errors=True)
            if not any(output.iterdir()):
                output.rmdir()
        raise
    return conversion.report


class _Conversion:
    """One conversion: chooses the subset, then gives the rows and keeps the report."""

    def __init__(
        self,
        name: str,
        source: Source,
        files: RawFiles,
        output: Path,
        media_folder: MediaFolder | None,
        subset: Subset,
        skip_missing: bool,
        check_decode: bool,
        progress: bool,
    ):
        self.name = name
        self.source = source
        self.files = files
        self.output = output.resolve()
        self.media_folder = media_folder
        self.subset = subset
        self.skip_missing = skip_missing
        self.check_decode = check_decode
        self.progress = progress
        self.share: Share | None = None
        self.chosen: dict[int, int] | None = None
        self.decoded: set[tuple[MediaKind, str]] = set()
        self.broken: dict[str, str] = {}
        self.report = ConversionReport(name, str(output))

    def choose(self) -> None:
        """Chooses the videos or rows, then the pairs, and decodes what they name if that was asked for."""
        if self.subset.fraction is not None:
            names = (self._group(place, sample) for place, sample in self._samples("counting"))
            self.share = choose_share(names, self.subset.fraction, self.subset.seed)
            self.report.videos_in_source = self.share.num_total if self.subset.by == "video" else None
        if self.subset.pairs is not None:
            # What turns out to be broken is replaced, and so may that be.
            while self._choose_pairs(self.subset.pairs) and self.skip_missing:
                pass
        elif self.check_decode:
            self._decode(self._files())

    def _files(self) -> Iterator[tuple[MediaKind, str]]:
        """The media files that the rows name and that are there."""
        for place, sample in self._samples("collecting"):
            if self._in_share(place, sample):
                with suppress(UnusableMedia):  # counted when the rows are written
                    file = self._file(sample)
                    if file is not None:
                        yield file

    def _choose_pairs(self, num_pairs: int) -> bool:
        """Chooses pairs, with usable media if rows without are to be skipped; whether more were found to be broken."""
        chooser = PairChooser(num_pairs, self.subset.seed)
        report = self.report
        report.missing, report.broken = Problems(), Problems()
        for index, (place, sample) in enumerate(self._samples("choosing")):
            if not self._in_share(place, sample):
                continue
            file = None
            try:
                file = self._file(sample)
            except UnusableMedia as error:
                # Otherwise it is an error, which writing the rows reports.
                if self.skip_missing:
                    report.missing.add(place, str(error))
                    continue
            if self.skip_missing and file is not None and file[1] in self.broken:
                report.broken.add(place, self.broken[file[1]])
                continue
            chooser.offer(index, place, len(sample.turns), file)
        self.chosen = chooser.chosen()
        return self.check_decode and self._decode(chooser.files)

    def _decode(self, files: Iterable[tuple[MediaKind, str]]) -> bool:
        """Decodes the files that were not decoded before; whether one is broken."""
        new = set(files) - self.decoded
        self.decoded |= new
        found = decoding_errors(new, progress=self.progress)
        self.broken.update(found)
        return bool(found)

    def rows(self) -> Iterator[dict]:
        """The rows; problems are counted on the way, and at the end it is an error if there are any of the kinds that
        are not to be skipped."""
        report = self.report
        # Numbers, because the names of a million files would be a hundred megabytes.
        seen = {"video": array("Q"), "image": array("Q")}
        # Rows without usable media were counted as such when the pairs were chosen.
        report.not_chosen = -(report.missing.count + report.broken.count)
        for index, (place, sample) in enumerate(self._samples("writing", report)):
            num_pairs = len(sample.turns) if self.chosen is None else self.chosen.get(index, 0)
            if not num_pairs or not self._in_share(place, sample):
                report.not_chosen += 1
                continue
            reference = None
            if sample.media is not None:
                try:
                    file = self._file(sample)
                except UnusableMedia as error:
                    report.missing.add(place, str(error))
                    continue
                if file is not None:
                    reference = file[1]
                    problem = self.broken.get(reference)
                else:
                    reference = self._write_picture(sample.media)
                    problem = decoding_error("image", reference) if self.check_decode else None
                if problem is not None:
                    report.broken.add(place, problem)
                    continue
                seen[sample.media.kind].append(rank(0, sample.media.id))
            report.rows += 1
            report.pairs += num_pairs
            yield self._row(place, sample, reference, num_pairs)
        report.videos, report.images = (len(np.unique(seen[kind])) for kind in ("video", "image"))
        self._check()

    def _row(self, place: str, sample: Sample, reference: str | None, num_pairs: int) -> dict:
        source = self.name.replace("-", "_")
        media = sample.media
        return conversation_row(
            reference,
            sample.turns[:num_pairs],
            kind=None if media is None else media.kind,
            system=sample.system,
            id=f"{source}/{sample.id or place}",
            source=source if sample.subset is None else f"{source}/{sample.subset}",
            type=sample.type,
            video_id=media.id if media is not None and media.kind == "video" else None,
        )

    def _samples(self, doing: str, report: ConversionReport | None = None) -> Iterator[tuple[str, Sample]]:
        """Samples of the types asked for; the report counts the rest, if given."""
        samples: Iterator[PlacedSample] = self.source.read(self.files, self.subset.seed)
        for place, sample in tqdm(samples, desc=f"{doing} {self.name}", unit=" records", disable=not self.progress):
            if isinstance(sample, Rejection):
                if report is not None:
                    report.malformed.add(place, sample.reason)
            elif self.subset.types is None or sample.type in self.subset.types:
                yield place, sample
            elif report is not None:
                report.not_chosen += 1

    def _group(self, place: str, sample: Sample) -> str:
        return sample.media.id if sample.media is not None and self.subset.by == "video" else place

    def _in_share(self, place: str, sample: Sample) -> bool:
        return self.share is None or self._group(place, sample) in self.share

    def _file(self, sample: Sample) -> tuple[MediaKind, str] | None:
        """The media file of a sample as a row names it, by its absolute path; None where there is none yet."""
        media = sample.media
        if media is None or media.content is not None:
            return None
        if self.media_folder is not None:
            return media.kind, media_reference(self.media_folder.find(media), media.clip)
        if not Path(media.names[0]).is_absolute():
            raise ValueError(
                f"The files of {self.name} name media such as {media.names[0]!r}; give `--media-root`, the folder "
                "where these lie."
            )
        return media.kind, media.names[0]

    def _write_picture(self, media: Media) -> str:
        """Writes a picture that came inside a record; returns its path."""
        path = self.output / PICTURE_FOLDER / media.names[0]
        if media.content is not None and not path.exists():
            write_atomically(path, partial(_write_bytes, media.content))
        return str(path)

    def _check(self) -> None:
        report = self.report
        unusable = report.missing.count + report.broken.count
        if unusable and not self.skip_missing:
            raise ValueError(
                f"{unusable} of {unusable + report.rows} rows name media files that cannot be used, the first: "
                f"{'; '.join([*report.missing.first, *report.broken.first][:2])}. Give the right `--media-root`, or "
                "`--skip-missing` to leave such rows out."
            )
        if not report.rows:
            named = [*report.malformed.first, *report.missing.first, *report.broken.first][:2]
            raise ValueError(
                f"No row of {self.name} is left: {report.malformed.count} records malformed, {report.missing.count} "
                f"without their media file, {report.broken.count} with a broken one, {report.not_chosen} not asked "
                f"for{'; first: ' + '; '.join(named) if named else ''}."
            )


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _check_types(name: str, source: Source, types: Sequence[str] | None) -> None:
    if types is None or source.types is None:
        return
    unknown = [given for given in types if given not in source.types]
    if unknown:
        known = f"expected some of {', '.join(source.types)}" if source.types else "this source has none"
        raise ValueError(f"`types` names {', '.join(unknown)}, which {name} does not have; {known}.")


def _describe(source: Source, request: dict, report: ConversionReport) -> str:
    asked, counts = (json.dumps(document, indent=2) for document in (request, report.document()))
    return (
        f"{source.summary}.\n\nMade by `ftfv data {report.source}` from\n\n```json\n{asked}\n```\n\nwith this result:"
        f"\n\n```json\n{counts}\n```"
    )
