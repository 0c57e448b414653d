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
"""What `ftfv doctor` finds out about a machine: packages, devices, decoders, number types and attention backends."""

import importlib.metadata
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import (
    is_av_available,
    is_decord_available,
    is_flash_attn_2_available,
    is_torchcodec_available,
)
from transformers.utils.versions import require_version

from .doctor_finding import Finding, examine
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.processing_ftfv import FTFVProcessor
from .processing.video_decoding_ftfv import READERS, is_torchcodec_usable


MINIATURE = Path(__file__).parent / "assets" / "miniature"

# Name, container and encoder of what the decoders are tried on.
FORMATS = (
    ("H.264", "mp4", "libx264"),
    ("H.265", "mp4", "libx265"),
    ("VP9", "webm", "libvpx-vp9"),
    ("MPEG-4 AVI", "avi", "mpeg4"),
    ("MPEG-TS", "ts", "libx264"),
    ("GIF", "gif", "gif"),
)
QUIET = {"libx265": {"x265-params": "log-level=none"}}
# Grey of the frames of a clip, which encoding changes by less than their distances.
LEVELS = (40, 80, 120, 160, 200)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Of the largest number: bfloat16 has 8 significant bits.
DTYPE_TOLERANCE = 0.02
ATTENTION_TOLERANCE = 1e-2


def examine_machine() -> Iterator[Finding]:
    """Yields the findings that need neither a model nor a video."""
    yield examine("packages", check_packages, "pip install --upgrade ftfv")
    yield examine_device()
    device = choose_device()
    for name in sorted({"cpu", device}):
        yield examine(
            f"dtypes on {name}",
            lambda name=name: check_dtypes(name),
            "load models with one of the other dtypes, such as `dtype=torch.float32`, or install another torch.",
        )
    yield from examine_attention(device)
    yield from examine_decoders()


def choose_device() -> str:
    """The device that models are tried on: the first GPU, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_packages() -> str:
    """Versions, checked against what the installed package asks for."""
    try:
        requirements = importlib.metadata.requires("ftfv") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []  # a checkout that is not installed
    for requirement in requirements:
        if ";" not in requirement:  # neither an extra nor for some machines only
            require_version(requirement)
    names = ("ftfv", "torch", "transformers") if requirements else ("torch", "transformers")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"Python {platform.python_version()}, {versions}."


def examine_device() -> Finding:
    """Which GPU there is, and whether torch can use it."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("device", True, f"{name}, {free / 1e9:.1f} GB free of {total / 1e9:.1f}.")
    if shutil.which("nvidia-smi"):
        return Finding(
            "device",
            False,
            f"there is an NVIDIA driver, but torch {torch.__version__} finds no GPU.",
            "install a torch that was built with CUDA (https://pytorch.org/get-started), and see what `nvidia-smi` "
            "says.",
        )
    return Finding("device", True, f"no GPU; the CPU has {torch.get_num_threads()} threads for torch.")


def check_dtypes(device: str) -> str:
    """Multiplies matrices in each type that models are kept in, and compares with float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 64, 64, dtype=torch.float64, generator=generator)
    exact = left @ right
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        try:
            product = (left.to(device, dtype) @ right.to(device, dtype)).double().cpu()
        except RuntimeError as error:
            raise RuntimeError(f"{name} cannot be computed with: {error}") from error
        if (product - exact).abs().max() > DTYPE_TOLERANCE * exact.abs().max():
            raise ValueError(f"{name} gives wrong products of matrices.")
    return f"{', '.join(str(dtype).removeprefix('torch.') for dtype in DTYPES)} compute."


def examine_attention(device: str) -> Iterator[Finding]:
    """Runs the shipped miniature with each attention backend, and compares with the eager one."""
    cure = "load models with another backend, such as `attn_implementation='eager'`, or install another torch."
    model: Any = None
    inputs: Any = None
    reference: Any = None

    def load() -> str:
        nonlocal model, inputs, reference
        model = FTFVForConditionalGeneration.from_pretrained(
            MINIATURE, attn_implementation="eager", dtype=torch.float32
        ).to(device)
        processor: Any = FTFVProcessor.from_pretrained(MINIATURE)
        frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
        text = f"{processor.video_token} which way ?"
        inputs = processor(text=text, videos=frames, return_tensors="pt").to(device)
        reference = logits()
        return f"runs on {device}."

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return model(**inputs).logits

    def compare(backend: str) -> str:
        model.set_attn_implementation(backend)
        # Flex attention compiles itself, which may take minutes; what it computes is the same without.
        with torch.compiler.set_stance("force_eager"):
            difference = float((logits() - reference).abs().max())
        if not difference < ATTENTION_TOLERANCE:
            raise ValueError(f"logits differ from those of eager attention by {difference:.2g}.")
        uncompiled = " (uncompiled)" if backend == "flex_attention" else ""
        return f"runs on {device}{uncompiled}, as eager attention within {ATTENTION_TOLERANCE:g}."

    eager = examine("attention eager", load, "install ftfv again; it ships the model for this.")
    yield eager
    if not eager.good:
        return
    for backend in ("sdpa", "flex_attention"):
        yield examine(f"attention {backend}", lambda backend=backend: compare(backend), cure)
    yield examine_flash_attention()


def examine_flash_attention() -> Finding:
    """Whether FlashAttention 2 can be asked for; it takes a GPU, so it is not run here."""
    subject = "attention flash 2"
    if is_flash_attn_2_available():
        return Finding(subject, True, "available, for float16 and bfloat16.")
    try:
        version = importlib.metadata.version("flash-attn")
    except importlib.metadata.PackageNotFoundError:
        return Finding(subject, True, "not installed; optional, sdpa is used.")
    return Finding(
        subject,
        False,
        f"flash-attn {version} is installed but cannot be used here.",
        "use it on a GPU with a matching torch, or `pip uninstall flash-attn`; sdpa is used meanwhile.",
    )


def usable_decoders() -> list[str]:
    """Decoders that can read videos here. decord is last: imported first, it breaks torchcodec's PNG decoding."""
    usable = {
        "torchcodec": lambda: is_torchcodec_usable(decode="video"),
        "pyav": is_av_available,
        "decord": is_decord_available,
    }
    return [name for name, is_usable in usable.items() if is_usable()]


def examine_decoders() -> Iterator[Finding]:
    """Lets each decoder read a clip of each format whose frames tell their own index."""
    packages = {
        "torchcodec": (is_torchcodec_available, "torchcodec"),
        "pyav": (is_av_available, "av"),
        "decord": (is_decord_available, "decord"),
    }
    usable = usable_decoders()
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder)) if "pyav" in usable else {}
        for name, (is_installed, package) in packages.items():
            subject = f"decoder {name}"
            if name in usable:
                cure = f"pip install --force-reinstall {package}"
                yield examine(subject, lambda name=name: check_decoder(name, clips), cure)
            elif is_installed():
                yield Finding(
                    subject,
                    False,
                    "installed, but its libraries do not load; it needs an FFmpeg of the system.",
                    "install FFmpeg (`apt install ffmpeg`), or `pip uninstall torchcodec`; PyAV is used meanwhile.",
                )
            elif name == "pyav":
                yield Finding(subject, False, "not installed; frames are written and read with it.", "pip install av")
            else:
                yield Finding(subject, True, "not installed; optional, PyAV is used.")


def write_clips(folder: Path) -> dict[str, Path]:
    """A clip of each format that PyAV can write here, by the name of the format."""
    import av

    clips = {}
    for name, suffix, encoder in FORMATS:
        if encoder not in av.codecs_available:
            continue
        clips[name] = folder / f"{re.sub('[^a-z0-9]', '', name.lower())}.{suffix}"
        with av.open(str(clips[name]), "w") as container:
            stream: Any = container.add_stream(encoder, rate=10, options=QUIET.get(encoder, {}))
            stream.width, stream.height = 64, 64
            stream.pix_fmt = "rgb8" if encoder == "gif" else "yuv420p"
            for level in LEVELS:
                grey = np.full((64, 64, 3), level, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
    return clips


def check_decoder(name: str, clips: dict[str, Path]) -> str:
    """
    Formats that a decoder reads, and those it does not.

    Raises:
        ValueError: it reads none, or gives other frames than those asked for.
    """
    read, left = [], []
    indices = np.array([1, 3])
    for clip_format, clip in clips.items():
        try:
            frames = np.asarray(READERS[name](str(clip)).frames_at(indices))
        except Exception:  # decoders have no error in common for a format that they do not read
            left.append(clip_format)
            continue
        greys = frames.reshape(len(frames), -1).mean(axis=1)
        wanted = np.array(LEVELS)[indices]
        if len(greys) != len(wanted) or np.abs(greys - wanted).max() > 15:
            raise ValueError(f"{name} gives other frames of a clip of {clip_format} than those asked for.")
        read.append(clip_format)
    if clips and not read:
        raise ValueError(f"{name} reads none of {', '.join(left)}.")
    if not clips:
        return "usable; PyAV, which writes the clips to try it on, is not."
    others = f" Not {', '.join(left)}, left to PyAV." if left else ""
    return f"reads {', '.join(read)}.{others}"
