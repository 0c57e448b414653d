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
"""The page: a video and a question in; an answer, where the model looked, and what it cost out."""

import html
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from huggingface_hub import SpaceCard

from answering import (
    MAX_NEW_TOKENS,
    Cost,
    EncodedVideo,
    Refused,
    encode,
    kept_attention,
    load,
    stream_answer,
    token_counts,
)
from attention import draw_attention


HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "example.mp4"
MAX_FRAMES = 32
MAX_FILE_SIZE = "200 MB"
# Seconds after which uploads, pictures and encoded videos are forgotten, and between looks for such.
KEPT, CLEANED_EVERY = 3600, 300

LIMITS = f"""
The model sees up to {MAX_FRAMES} frames, spread evenly, and nothing between them; it hears no sound. Files may have up
to {MAX_FILE_SIZE}, answers end after {MAX_NEW_TOKENS} tokens and may be wrong or biased. One question is
answered at a time; others wait. What you upload is deleted after an hour.
"""
LEGEND = """### Where the model looks

The more golden light on a patch of a frame, the more the queries that are kept look at it."""
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#refusal .refusal { border-left: 4px solid #c2410c; background: #fff7ed; color: #7c2d12; padding: .7em 1em; }
#cost :is(table, thead, tbody, tr) { width: 100%; border: 0; border-collapse: collapse; }
#cost :is(th, td) { border: 0; padding: .4em 0; text-align: left; }
#cost tr { border-bottom: 1px solid var(--border-color-primary) !important; }
#cost :is(th, td) + :is(th, td) { padding-left: 1em; text-align: right; white-space: nowrap; }
#frames .thumbnail-lg { aspect-ratio: auto; }
#frames .thumbnail-lg img { height: auto; }
@media (max-width: 640px) { #frames .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; } }
"""


def build_page(pipe: Any, name: str) -> gr.Blocks:
    """
    The page.

    Args:
        pipe: the pipeline of the model, see [`load`].
        name (`str`): what the model is called.
    """
    config, video_processor = pipe.model.config, pipe.processor.video_processor
    counts = token_counts(pipe)

    def respond(
        path: str | None, question: str, num_frames: int, tokens_per_frame: int, earlier: EncodedVideo | None
    ) -> Iterator[dict[Any, Any]]:
        """Fills the right half of the page as far as the answer has come."""
        yield {answer: "", refusal: gr.HTML(visible=False), cost: gr.HTML(visible=False)}
        try:
            if path is None:
                raise Refused("There is no video yet. Upload one first.")
            if not question.strip():
                raise Refused("There is no question yet. Write one, such as “What happens in the video?”.")
            video, encoding = encode(pipe, path, int(num_frames), tokens_per_frame, earlier)
            attention = kept_attention(pipe, video, tokens_per_frame)
            pictures = list(zip(draw_attention(video.frames, attention), captions(video), strict=True))
            yield {encoded: video, legend: gr.Markdown(visible=True), frames: gr.Gallery(pictures, visible=True)}
            for text, answering in stream_answer(pipe, video, tokens_per_frame, question.strip()):
                yield {answer: text}
                if answering is not None:
                    yield {cost: gr.HTML(cost_table(video, tokens_per_frame, encoding, answering), visible=True)}
        except Refused as error:
            message = str(error)
        except torch.OutOfMemoryError:
            message = "The machine has too little memory for this. Choose fewer frames or fewer tokens per frame."
        else:
            return
        yield {
            refusal: gr.HTML(f'<div class="refusal" role="alert">{html.escape(message)}</div>', visible=True),
            legend: gr.Markdown(visible=False),
            frames: gr.Gallery(visible=False),
        }

    with gr.Blocks(title=f"Ask {name}", delete_cache=(CLEANED_EVERY, KEPT)) as page:
        encoded = gr.State(None, time_to_live=KEPT)
        gr.Markdown(
            f"# Ask {name} about a video\n\nThe model looks at some frames of the video and reads K tokens of each: "
            "more frames and tokens show it more, and cost more. You choose."
        )
        with gr.Row():
            with gr.Column():
                upload = gr.Video(label="Video", sources=["upload"], height=300, elem_id="video")
                question = gr.Textbox(label="Question", placeholder="What happens in the video?")
                tokens_per_frame = gr.Radio(
                    counts, value=config.tokens_per_frame, label="Tokens per frame (K)", elem_id="tokens"
                )
                num_frames = gr.Slider(
                    1,
                    MAX_FRAMES,
                    value=min(video_processor.max_num_frames or MAX_FRAMES, MAX_FRAMES),
                    step=1,
                    label="Frames",
                    elem_id="num-frames",
                )
                ask = gr.Button("Ask", variant="primary", elem_id="ask")
                if EXAMPLE.is_file():
                    gr.Examples([[str(EXAMPLE)]], [upload], label="Example")
            with gr.Column():
                refusal = gr.HTML(visible=False, elem_id="refusal")
                answer = gr.Textbox(label="Answer", lines=4, interactive=False, elem_id="answer")
                cost = gr.HTML(visible=False, elem_id="cost")
        legend = gr.Markdown(LEGEND, visible=False)
        frames = gr.Gallery(
            label="Where the model looks",
            show_label=False,
            columns=4,
            height="max-content",
            object_fit="contain",
            buttons=["fullscreen"],
            interactive=False,
            visible=False,
            elem_id="frames",
        )
        gr.Markdown(LIMITS)
        gr.on(
            [ask.click, question.submit],
            respond,
            [upload, question, num_frames, tokens_per_frame, encoded],
            [answer, refusal, cost, legend, frames, encoded],
            api_name="ask",
            show_progress="minimal",
        )
    # One after another: hooks record the attention, and counters the operations, of whatever runs.
    return page.queue(max_size=20, default_concurrency_limit=1)


def captions(video: EncodedVideo) -> list[str]:
    """The time of each frame, or its number where the file does not tell."""
    if video.times is None:
        return [f"frame {index}" for index in range(1, len(video.frames) + 1)]
    return [f"{seconds:.2f} s" for seconds in video.times]


def cost_table(video: EncodedVideo, tokens_per_frame: int, encoding: Cost | None, answering: Cost) -> str:
    """What was computed, as a table."""
    num_frames = len(video.frames)
    rows = [
        ("Video", "encoded before: reused, 0 FLOPs", "0 s")
        if encoding is None
        else ("Video, read and encoded", show_flops(encoding.flops), f"{encoding.seconds:.1f} s"),
        ("Answer", show_flops(answering.flops), f"{answering.seconds:.1f} s"),
    ]
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    frames = f"{num_frames} frame{'' if num_frames == 1 else 's'}"
    return (
        f"<p>{frames} × {tokens_per_frame} tokens = <b>{num_frames * tokens_per_frame} visual tokens</b></p>"
        f"<table><tr><th>Cost</th><th>compute</th><th>time</th></tr>{lines}</table>"
    )


def show_flops(count: int) -> str:
    """Counted operations in the unit that suits them."""
    for unit, size in (("TFLOPs", 1e12), ("GFLOPs", 1e9)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count / 1e6:.1f} MFLOPs"


def model_name(arguments: list[str]) -> str:
    """The model that the command line names, or the first one of the README.md beside this file."""
    return arguments[0] if arguments else SpaceCard.load(HERE / "README.md").data.models[0]


if __name__ == "__main__":
    model = model_name(sys.argv[1:])
    build_page(load(model), Path(model).name).launch(
        max_file_size=MAX_FILE_SIZE,
        theme=gr.themes.Default(primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=CSS,
        footer_links=["gradio"],
    )
