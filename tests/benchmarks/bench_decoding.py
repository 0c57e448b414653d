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
"""
Time and memory of getting 8 frames out of a 10-minute 1080p file: `FTFVVideoProcessor` with each decoder, against the
fastest use of the decoder alone.

    python tests/benchmarks/bench_decoding.py

Each row is measured in a process of its own, after one call that is not counted. Seconds are the median of the calls
that are; those of the processor, of all threads together, hold where other work takes the cores. Memory is the highest
above that of the process before those calls (Linux).

`alone` need not give the exact frames: it seeks by the rate that the file states, without looking at its packets.
`read_video` is our decoding, `processor` also resizes and normalises the frames.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


ROOT = Path(__file__).resolve().parents[2]
NUM_FRAMES, HEIGHT, WIDTH = 8, 1080, 1920
DECODERS = ("pyav", "torchcodec", "decord")
WAYS = ("alone", "read_video", "processor")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--calls", type=int, default=3, help="calls measured for each cell")
    parser.add_argument("--measure", nargs=3, metavar=("DECODER", "WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(*arguments.measure, arguments.calls)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "long.mp4")
        write_long_video(path, round(arguments.minutes * 60 * arguments.fps), arguments.fps)
        size = os.path.getsize(path) / 2**20
        sys.stdout.write(
            f"{NUM_FRAMES} frames of {arguments.minutes:g} minutes of {WIDTH} x {HEIGHT} H.264 at {arguments.fps} "
            f"frames per second ({size:.0f} MiB, keyframes 250 frames apart), {os.cpu_count()} cores\n\n"
        )
        sys.stdout.write(
            "| decoder | way | seconds | ratio | CPU seconds | ratio | MiB | same frames |\n"
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
        )
        for decoder in DECODERS:
            found = {way: run(decoder, way, path, arguments.calls) for way in WAYS}
            for way in WAYS:
                sys.stdout.write(row(decoder, way, found[way], found["alone"]) + "\n")
            sys.stdout.flush()
    return 0


def write_long_video(path: str, num_frames: int, fps: int) -> None:
    """An H.264 file of a bar that runs over a gradient."""
    import av

    luma = np.tile(np.linspace(16, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    frames = []
    for step in range(40):
        planes = np.concatenate([luma, np.full((HEIGHT // 2, WIDTH), 128, dtype=np.uint8)])
        planes[:HEIGHT, step * WIDTH // 40 : (step + 1) * WIDTH // 40] = 235
        frames.append(planes)
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "28", "g": "250"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(num_frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frames[index % len(frames)], format="yuv420p")))
        output.mux(stream.encode())


def run(decoder: str, way: str, path: str, calls: int) -> dict[str, Any] | None:
    """Measures in a new process; None where the decoder cannot be used."""
    command = [sys.executable, __file__, "--calls", str(calls), "--measure", decoder, way, path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    if finished.returncode != 0:
        sys.stderr.write(f"{decoder}, {way}: {finished.stderr.strip().splitlines()[-1]}\n")
        return None
    return json.loads(finished.stdout)


def row(decoder: str, way: str, found: dict[str, Any] | None, alone: dict[str, Any] | None) -> str:
    """A line of the table."""
    if found is None or alone is None:
        return f"| {decoder} | {way} | not measured: it cannot be used here | | | | | |"
    cells = [decoder, way]
    for name in ("seconds", "cpu_seconds"):
        cells += [f"{found[name]:.2f}", f"{found[name] / alone[name]:.2f}"]
    same = "" if found["digest"] is None else "yes" if found["digest"] == alone["digest"] else "no"
    return f"| {' | '.join([*cells, format(found['mebibytes'], '.0f'), same])} |"


def measure(decoder: str, way: str, path: str, calls: int) -> dict[str, Any]:
    """Median seconds of both kinds, highest memory in MiB above what was there before, and a digest of the frames."""
    call = prepare(decoder, way)
    result = call(path)
    digest = None if way == "processor" else hashlib.sha256(np.ascontiguousarray(result)).hexdigest()
    del result
    # Forgets the highest memory so far.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    seconds, cpu_seconds = [], []
    for _ in range(calls):
        start, cpu_start = time.perf_counter(), time.process_time()
        call(path)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return {
        "seconds": statistics.median(seconds),
        "cpu_seconds": statistics.median(cpu_seconds),
        "mebibytes": (memory("VmHWM") - before) / 2**10,
        "digest": digest,
    }


def memory(name: str) -> int:
    """A figure of /proc/self/status in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def prepare(decoder: str, way: str) -> Callable[[str], Any]:
    """What is measured, a function of the path, imports done."""
    if way == "alone":
        return {"pyav": pyav_alone, "torchcodec": torchcodec_alone, "decord": decord_alone}[decoder]
    from ftfv import FTFVVideoProcessor
    from ftfv.processing.video_decoding_ftfv import choose_video_backend, read_video

    choose_video_backend(decoder)
    processor = FTFVVideoProcessor(video_backend=decoder)
    if way == "processor":
        return processor
    return lambda path: read_video(path, processor.sample_frames, decoder)[0]


def middles(total: int) -> list[int]:
    """The frames that FTFV takes of a video."""
    return [(2 * index + 1) * total // (2 * NUM_FRAMES) for index in range(NUM_FRAMES)]


def pyav_alone(path: str) -> np.ndarray:
    """Seeks to the time that the stated rate gives each frame, and decodes up to it."""
    import av

    found = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index in middles(stream.frames):
            timestamp = int(index / stream.average_rate / stream.time_base)
            container.seek(timestamp, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= timestamp)
            found.append(frame.to_ndarray(format="rgb24"))
    return np.stack(found)


def torchcodec_alone(path: str) -> Any:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, seek_mode="approximate", num_ffmpeg_threads=0, dimension_order="NHWC")
    return decoder.get_frames_at(middles(decoder.metadata.num_frames)).data.numpy()


def decord_alone(path: str) -> np.ndarray:
    from decord import VideoReader

    reader = VideoReader(path)
    return reader.get_batch(middles(len(reader))).asnumpy()


if __name__ == "__main__":
    sys.exit(main())
