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
"""The raw data sets that can be converted: those of the paper's Tables 1 and 2 and section 4.5, and stand-ins."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from . import grounding, llava_schema, m3it, video_instruct, videochat2_it, vqa, webdataset
from .raw_files import RawFiles
from .samples import PlacedSample


_JSON = ("*.json", "*.jsonl", "*.parquet")
_SHARDS = ("*.tar", "*.json")  # img2dataset's two forms


@dataclass(frozen=True)
class Source:
    """A raw data set and how it is read."""

    summary: str
    """What it is, in one line."""
    files: str
    """What files to give."""
    read: Callable[[RawFiles, int], Iterator[PlacedSample]]
    """From the files and a seed to samples."""
    patterns: tuple[str, ...] = _JSON
    """What counts where a folder is given."""
    types: tuple[str, ...] | None = None
    """The types of question it has; None where its folders name them."""


SOURCES = {
    "video-instruct": Source(
        "VideoInstruct-100K, questions about clips of ActivityNet (Table 2)",
        "VideoInstruct100K.json",
        video_instruct.read_samples,
        types=(),
    ),
    "valley": Source(
        "Valley-702k, conversations about clips of WebVid (Table 2)",
        "chat.json",
        llava_schema.read_valley_samples,
        types=(),
    ),
    "videochat2-it": Source(
        "VideoChat2-IT, video instruction data in six types (section 4.5)",
        "the folder `video` of the set, or some of its <type>/<set>/train.json",
        videochat2_it.read_samples,
        patterns=("*train.json",),
        types=videochat2_it.TYPES,
    ),
    "video-llava": Source(
        "Video-LLaVA's repack of Valley, VideoInstruct and LLaVA",
        "valley_.json, videochatgpt_tune_.json, ...",
        llava_schema.read_samples,
        types=(),
    ),
    "llava-pretrain": Source(
        "LCS-558K, captions of LAION, CC and SBU, a stand-in for LAION (Table 1)",
        "blip_laion_cc_sbu_558k.json",
        partial(llava_schema.read_samples, type="simple_caption"),
        types=("simple_caption",),
    ),
    "sharegpt4v": Source(
        "ShareGPT4V, conversations about pictures (Table 1)",
        "sharegpt4v_mix665k_*.json or sharegpt4v_instruct_*.json",
        llava_schema.read_samples,
        types=(),
    ),
    "sharegpt4v-captions": Source(
        "ShareGPT4V's long captions (Table 1)",
        "share-captioner_coco_lcs_sam_1246k_1107.json",
        partial(llava_schema.read_samples, type="detailed_caption"),
        types=("detailed_caption",),
    ),
    "m3it": Source(
        "M3IT, instruction data of forty picture sets, pictures included (Table 1)",
        "folders data/<task>/<set> of the set, or parquet files",
        m3it.read_samples,
        patterns=("*train*.jsonl", "*train*.parquet"),
    ),
    "grit": Source(
        "GRIT, captions whose phrases have boxes (Table 1)",
        "what img2dataset wrote, with noun_chunks and ref_exps",
        grounding.read_grit_samples,
        patterns=_SHARDS,
        types=("grounded_caption", "grounding"),
    ),
    "visual-genome": Source(
        "Visual Genome, phrases with boxes, and questions (Table 1)",
        "region_descriptions.json with image_data.json, question_answers.json",
        grounding.read_visual_genome_samples,
        types=("grounding", "vqa"),
    ),
    "vqav2": Source(
        "VQAv2, questions about pictures of COCO (Table 1)",
        "v2_OpenEnded_*_questions.json and v2_*_annotations.json",
        vqa.read_vqav2_samples,
        types=("vqa",),
    ),
    "gqa": Source(
        "GQA, questions made from scene graphs (Table 1)",
        "train_balanced_questions.json",
        vqa.read_gqa_samples,
        types=("vqa",),
    ),
    "laion": Source(
        "pictures with captions, such as LAION's (Table 1)",
        "what img2dataset wrote: .tar shards or folders",
        webdataset.read_caption_samples,
        patterns=_SHARDS,
        types=("simple_caption",),
    ),
}


def find_source(name: str) -> Source:
    """
    Raises:
        ValueError: there is no source of that name.
    """
    if name not in SOURCES:
        raise ValueError(f"No source {name!r}; expected one of {', '.join(SOURCES)}.")
    return SOURCES[name]
