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
"""Features of videos kept on disk, so that a video is encoded once for all questions, also those of another day."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers.utils import logging

from .evaluation.atomic_write import atomic_write
from .modeling_ftfv.modeling_ftfv import FTFVFeaturesOutput, FTFVPreTrainedModel
from .processing.media_source_ftfv import make_list_of_videos
from .processing.pipeline_ftfv import VideoTextToTextPipeline


logger = logging.get_logger(__name__)

# Part of every key; raised when entries are written otherwise, or computed otherwise from the same weights.
FORMAT = 1
CHECKSUM = "sha256"


class FeatureCache:
    """
    A folder with the features of videos, one safetensors file each: tokens, responses, indices and times of frames. A
    clip of 8 frames takes `8 * K * hidden_size` numbers and about 10 KB, that is 1 MB in the 7B sizes in bf16 at
    K = 16.

    An entry belongs to the frames that were looked at, as they enter the model (so to the content of the video, the
    number and size of its frames and everything else that the processor was asked for), to their positions in the
    video, to the options of the token sampler, to the share of patches that the vision tower is spared, to dtype,
    device and attention backend, and to the weights and configs of vision tower, temporal encoding and adapter. Where
    an entry holds at least the tokens per frame that are asked for, the best of them are taken; else the video is
    encoded again and the entry replaced. An entry that cannot be read, or whose checksum is wrong, is made again.

    Videos are decoded each time, the vision tower runs only where there is no entry.
    """

    def __init__(self, folder: str | os.PathLike, pipe: VideoTextToTextPipeline):
        """
        Args:
            folder (`str` or `os.PathLike`): where entries are; made when the first is written. None is deleted.
            pipe (`VideoTextToTextPipeline`): what encodes. Its weights are read now: after training them further,
                make another cache of the same folder.

        Raises:
            ValueError: the token sampler is random, so that no entry would be what encoding again gives.
        """
        if pipe.model.config.token_sampler == "random":
            raise ValueError(
                "`token_sampler` is 'random', which chooses anew each time a video is encoded; expected another one "
                "for a cache of features. Leave the cache out."
            )
        self.folder = Path(folder)
        self.pipe = pipe
        self.fingerprint = fingerprint(pipe.model)

    def encode(self, videos: Any, **kwargs: Any) -> FTFVFeaturesOutput:
        """
        What [`VideoTextToTextPipeline.encode`] returns for each of the videos alone, from the cache where it is there.
        Arguments and errors are those of that method.
        """
        features = [self._encode_one(video, **kwargs) for video in make_list_of_videos(videos)]
        return type(features[0]).merge(features)

    def _encode_one(self, video: Any, **kwargs: Any) -> FTFVFeaturesOutput:
        inputs = self.pipe.prepare_videos([video], **kwargs)
        key = self.key(inputs)
        path = self.folder / key[:2] / f"{key}.safetensors"
        tokens_per_frame = int(inputs["tokens_per_frame"])
        features = read_entry(path, key)
        if features is None or features.token_indices.shape[-1] < tokens_per_frame:
            features = self.pipe.encode_inputs(inputs)
            write_entry(path, key, features)
        features = self.pipe.ensure_tensor_on_device(features=features)["features"]
        return self.pipe.model.model.take_features(features, tokens_per_frame)

    def key(self, inputs: Any) -> str:
        """The name of the entry of one video, from what `prepare_videos` of the pipeline returned for it."""
        model, config = self.pipe.model, self.pipe.model.config
        pixel_values, [metadata] = inputs["pixel_values_videos"], inputs["video_metadata"]
        parts = {
            "format": FORMAT,
            "weights": self.fingerprint,
            "pixels": hash_tensor(pixel_values),
            "frames": [int(index) for index in metadata.frames_indices],
            "fps": metadata.fps,
            "dtype": str(model.dtype),
            "device": model.device.type,
            "attention": [part._attn_implementation for part in (config.vision_config, config.adapter_config)],
            "sampler": [config.token_sampler, config.token_order],
        }
        if config.skip_unchanged_patches or config.merge_patches:
            # Without them, entries of before are still good.
            parts["patches"] = [config.skip_unchanged_patches, config.merge_patches, config.merge_layers]
        if config.token_sampler != "weighted":
            # Only the best tokens are among the better ones.
            parts["tokens_per_frame"] = int(inputs["tokens_per_frame"])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(model: FTFVPreTrainedModel) -> str:
    """
    Digest of what makes features out of pixels: weights and configs of the vision tower, the temporal encoding and
    the adapter.
    """
    digest = hashlib.sha256()
    base = model.base_model
    for name in ("vision_tower", "temporal_encoding", "multi_modal_projector"):
        for key, tensor in sorted(getattr(base, name).state_dict().items()):
            digest.update(f"{name}.{key} {hash_tensor(tensor)}\n".encode())
    for part in (model.config.vision_config, model.config.adapter_config):
        # Where it came from and with which version it was saved change nothing.
        origin = ("_name_or_path", "transformers_version")
        options = {key: value for key, value in part.to_dict().items() if key not in origin}
        digest.update(json.dumps(options, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def hash_tensor(tensor: torch.Tensor) -> str:
    """Digest of type, shape and values of a tensor."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def write_entry(path: Path, key: str, features: FTFVFeaturesOutput) -> None:
    """Writes the features of one video; a reader sees all of it or nothing."""
    tensors = {
        "tokens": features.pooler_output,
        "responses": features.responses,
        "token_indices": features.token_indices.to(torch.int32),
        "frame_times": features.frame_times,
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items() if tensor is not None}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"key": key, CHECKSUM: _checksum(tensors)})


def read_entry(path: Path, key: str) -> FTFVFeaturesOutput | None:
    """The features of one video; None where there is no entry, or one that is damaged, of which a warning says so."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as entry:
            metadata = entry.metadata() or {}
            tensors = {name: entry.get_tensor(name) for name in entry.keys()}
    except (SafetensorError, OSError) as error:
        damage = " ".join(str(error).split())
    else:
        whole = metadata.get("key") == key and metadata.get(CHECKSUM) == _checksum(tensors)
        damage = None if whole else "its checksum is wrong"
    if damage is not None:
        logger.warning(f"The features in {str(path)!r} cannot be used and are made again: {damage}.")
        return None
    return FTFVFeaturesOutput(
        pooler_output=tensors["tokens"],
        responses=tensors["responses"],
        token_indices=tensors["token_indices"].long(),
        frame_times=tensors.get("frame_times"),
    )


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    names = sorted(tensors)
    return hashlib.sha256(" ".join(f"{name} {hash_tensor(tensors[name])}" for name in names).encode()).hexdigest()
