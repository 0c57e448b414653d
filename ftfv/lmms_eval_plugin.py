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
lmms-eval's plug-in: FTFV as one of its models.

lmms-eval calls `manifest` through the entry point `ftfv` of the group `lmms_eval.models`; nothing else imports this
file, as lmms-eval is no dependency. It pins an older PyAV than FTFV decodes with, so it has an environment of its own
and is installed first: `pip install lmms-eval==0.7.3`, then `pip install ftfv`. Then

    lmms-eval --model ftfv --model_args pretrained=MODEL,tokens_per_frame=16 --tasks mvbench --batch_size 16
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL import Image

from .evaluation.asking.batches import see_batches
from .evaluation.asking.questions import ask_questions
from .evaluation.asking.ranking import rank_options
from .evaluation.asking.setting import Setting
from .evaluation.benchmarks.benchmark import Question
from .model_folder import check_model_folder
from .modeling_ftfv.configuration_ftfv import FTFVConfig
from .modeling_ftfv.modeling_ftfv import FTFVForConditionalGeneration
from .processing.pipeline_ftfv import check_agreement
from .processing.processing_ftfv import FTFVProcessor


DTYPES = ("auto", "float32", "bfloat16", "float16")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def manifest() -> ModelManifest:
    """What lmms-eval enters into its list of models."""
    return ModelManifest(model_id="ftfv", simple_class_path=f"{FTFV.__module__}.{FTFV.__name__}")


class FTFV(lmms):
    """
    FTFV under `lmms-eval --model ftfv`. Its arguments are given as `--model_args pretrained=MODEL,num_frames=16`,
    those for batch and device as `--batch_size 16 --device cuda:0`; what is not given is as the model has it.

    Videos, single images and lists of images, which are taken for the frames of one video, are asked about. Each is
    encoded once for all requests of a call that ask for answers of the same length. Images that lmms-eval hands over
    decoded lie in a temporary folder meanwhile (`TMPDIR`), which takes room for those of all tasks.

    Args:
        pretrained (`str`): Model folder or Hub id.
        tokens_per_frame (`int`, *optional*): K of video frames (paper section 3.2.1).
        num_frames (`int`, *optional*): Frames of a video; a shorter one gives all it has.
        frame_size (`int`, *optional*): Side of frames and images in pixels.
        token_sampler (`str`, *optional*): Stands in for `config.token_sampler`, for instance `"random"`.
        token_order (`str`, *optional*): Stands in for `config.token_order`.
        shuffle_frames (`bool`, *optional*, defaults to `False`): Whether the frames come in a wrong order.
        as_image (`bool`, *optional*, defaults to `False`): Whether one random frame of each video goes in as an image.
        dtype (`str`, *optional*, defaults to `"auto"`): `"float32"`, `"bfloat16"`, `"float16"`, or that of the files.
        max_new_tokens (`int`, *optional*, defaults to 1024): Longest answer where a task sets none, as SEED-Bench.
        seed (`int`, *optional*, defaults to 0): Of shuffled frames, random frames and random token samplers; the
            command's own `--seed` does not reach a model.
        device (`str`, *optional*): The process's own GPU where there is one, if not given.
        batch_size (`int`, *optional*, defaults to 1): Questions that are generated together.
        kwargs: Refused.

    Raises:
        FileNotFoundError: there is no such model folder.
        TypeError: there is no such argument.
        ValueError: an argument is nothing that the model can do.
    """

    def __init__(
        self,
        pretrained: str = "",
        tokens_per_frame: int | None = None,
        num_frames: int | None = None,
        frame_size: int | None = None,
        token_sampler: str | None = None,
        token_order: str | None = None,
        shuffle_frames: bool = False,
        as_image: bool = False,
        dtype: str = "auto",
        max_new_tokens: int = 1024,
        seed: int = 0,
        device: str | None = None,
        batch_size: int | str = 1,
        **kwargs: Any,
    ):
        super().__init__()
        if kwargs:
            raise TypeError(
                f"`{next(iter(kwargs))}` is no argument of the model ftfv; expected pretrained, tokens_per_frame, "
                "num_frames, frame_size, token_sampler, token_order, shuffle_frames, as_image, dtype, max_new_tokens "
                "or seed in --model_args."
            )
        if not pretrained:
            raise ValueError("`pretrained` is not given; expected a model folder or Hub id: pretrained=MODEL.")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"--batch_size is {batch_size!r}; expected a number of at least 1.")
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` is {dtype!r}; expected one of {', '.join(DTYPES)}.")
        self.setting = Setting(
            tokens_per_frame, num_frames, frame_size, token_sampler, token_order, shuffle_frames, as_image
        )
        self.max_new_tokens = _positive("max_new_tokens", max_new_tokens)
        if type(seed) is not int:
            raise ValueError(f"`seed` is {seed!r}; expected a whole number.")
        self.seed = seed
        self.batch_size = int(batch_size)
        check_model_folder(str(pretrained))
        self.setting.check(FTFVConfig.from_pretrained(pretrained))
        # The evaluator gathers through it where several processes run.
        self.accelerator = Accelerator()
        self.device = torch.device(device) if device is not None else self.accelerator.device
        self.processor = FTFVProcessor.from_pretrained(pretrained)
        self.model: Any = FTFVForConditionalGeneration.from_pretrained(pretrained, dtype=dtype).to(self.device).eval()
        check_agreement(self.model.config, self.processor)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """
        Greedy answers.

        Args:
            requests (`Sequence[Instance]`): With `args` of prompt, options of generation, `doc_to_visual`, number of
                the document, task and split.

        Returns:
            `list[str]`: One for each request, in their order, without what follows a string of its `until`.

        Raises:
            UnreadableMediaError: a video is missing or cannot be decoded.
            ValueError: a request has no video or image, or asks for sampling or beams.
        """
        answers = [""] * len(requests)
        with tempfile.TemporaryDirectory() as folder:
            by_length: dict[int, list[Question]] = {}
            numbers = {}
            for number, request in enumerate(requests):
                prompt, options, doc_to_visual, doc_id, task, split = request.args
                visuals = doc_to_visual(self.task_dict[task][split][doc_id])
                where = f"Document {doc_id} of {task}"
                length = self._length(options, where)
                media = _media(visuals, Path(folder), where)
                question = Question(id=f"{where}, {number}", task=task, question=prompt, answer="", **media)
                numbers[question.id] = number
                by_length.setdefault(length, []).append(question)
            for length, questions in by_length.items():
                batches = ask_questions(
                    self.model,
                    self.processor,
                    questions,
                    lambda question: question.question,
                    [self.setting],
                    max_new_tokens=length,
                    batch_size=self.batch_size,
                    seed=self.seed,
                    progress=self.rank == 0,
                )
                for _, batch in batches:
                    for answered in batch:
                        number = numbers[answered.question.id]
                        answers[number] = _until(answered.text, requests[number].args[1].get("until"))
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """
        How unlikely texts are as answers, for tasks that rank options by it, such as `seedbench_ppl`.

        Args:
            requests (`Sequence[Instance]`): With `args` of prompt, answer (or a function that makes it of a document),
                `doc_to_visual`, number of the document, task and split. White space around an answer is left out: it
                would separate it from a prompt without turns.

        Returns:
            `list[GenerationResult]`: For each request, in their order, as its `text` the mean loss of the answer's
            tokens, as lmms-eval takes the option of the least, and whether greedy decoding gives this answer.

        Raises:
            UnreadableMediaError: a video is missing or cannot be decoded.
            ValueError: a request has no video or image, or an answer is no text, empty or has unknown tokens.
        """
        results = [GenerationResult("")] * len(requests)
        with tempfile.TemporaryDirectory() as folder:
            grouped = self._with_options(requests, Path(folder))
            batches = see_batches(
                self.model,
                self.processor,
                [question for question, _ in grouped.values()],
                [self.setting],
                batch_size=self.batch_size,
                seed=self.seed,
                progress=self.rank == 0,
            )
            for _, setting, batch in batches:
                for question, seen in batch:
                    ranked = rank_options(
                        self.model,
                        self.processor,
                        question,
                        seen,
                        setting,
                        question.question,
                        batch_size=self.batch_size,
                        seed=self.seed,
                    )
                    if ranked is None:
                        raise ValueError(
                            f"One of the options {list(question.options)} of {question.task} is empty, or has tokens "
                            "that the tokenizer does not know; expected text that it can write. Choose a task that "
                            "reads an answer instead, such as seedbench for seedbench_ppl."
                        )
                    _, numbers = grouped[question.id]
                    for number, option in zip(numbers, ranked, strict=True):
                        # Not wrapped, lmms-eval 0.7.3 would make a text of the two.
                        results[number] = GenerationResult((-option.log_prob, option.is_greedy))
        return results

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: lmms-eval demands the method of every model, and FTFV answers single questions."""
        raise NotImplementedError("FTFV answers single questions; choose a task without several rounds.")

    def _with_options(self, requests: Sequence[Instance], folder: Path) -> dict[str, tuple[Question, list[int]]]:
        """Requests about answers to the same prompt as one question by its id, with their numbers."""
        same: dict[tuple[str, str, int, str], list[int]] = {}
        for number, request in enumerate(requests):
            if len(request.args) == 2:
                raise ValueError(
                    "A request asks for the likelihood of an option without prompt and video or image, which the "
                    "metric acc_mutual_info needs; expected a task without it."
                )
            prompt, _, _, doc_id, task, split = request.args
            same.setdefault((task, split, doc_id, prompt), []).append(number)
        grouped = {}
        for (task, split, doc_id, prompt), numbers in same.items():
            document, where = self.task_dict[task][split][doc_id], f"Document {doc_id} of {task}"
            _, _, doc_to_visual, *_ = requests[numbers[0]].args
            answers = [requests[number].args[1] for number in numbers]
            answers = [answer(document) if callable(answer) else answer for answer in answers]
            for answer in answers:
                if not isinstance(answer, str):
                    raise ValueError(f"{where} asks for the likelihood of {answer!r}; expected a text.")
            media = _media(doc_to_visual(document), folder, where)
            name = f"{where}, {numbers[0]}"
            question = Question(id=name, task=task, question=prompt, answer="", options=tuple(answers), **media)
            grouped[question.id] = question, numbers
        return grouped

    def _length(self, options: Mapping[str, Any], where: str) -> int:
        """Longest answer that a request asks for."""
        sampling = options.get("do_sample")
        if sampling is None:
            sampling = (options.get("temperature") or 0) > 0
        if sampling or (options.get("num_beams") or 1) > 1:
            raise ValueError(
                f"{where} asks for {'sampling' if sampling else 'beams'}; expected greedy answers, by which FTFV is "
                "measured: --gen_kwargs do_sample=False,num_beams=1."
            )
        length = options.get("max_new_tokens")
        return self.max_new_tokens if length is None else _positive("max_new_tokens", length)


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` is {value!r}; expected a number of at least 1.")
    return value


def _until(text: str, stops: str | Sequence[str] | None) -> str:
    """The text before the first of the strings that end an answer."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        text = text.split(stop, 1)[0] if stop else text
    return text.strip()


def _media(visuals: Any, folder: Path, where: str) -> dict[str, str]:
    """
    Video or image of a question, out of what a task gives. Images are written to the folder under the digest of their
    content, so that memory holds none and the same one is known again.
    """
    visuals = list(visuals or [])
    if not visuals:
        raise ValueError(f"{where} has neither video nor image; expected one: leave tasks of text alone out.")
    if len(visuals) == 1 and isinstance(visuals[0], str | os.PathLike):
        path = os.fspath(visuals[0])
        return {"image" if path.lower().endswith(IMAGE_SUFFIXES) else "video": path}
    if not all(isinstance(visual, Image.Image) for visual in visuals):
        kinds = ", ".join(type(visual).__name__ for visual in visuals)
        raise ValueError(f"{where} has media of the types {kinds}; expected one path of a video, or images.")
    paths = [_write_image(image, folder) for image in visuals]
    if len(paths) == 1:
        return {"image": str(paths[0])}
    frames = folder / hashlib.sha256("".join(path.stem for path in paths).encode()).hexdigest()
    if not frames.exists():
        frames.mkdir()
        for index, path in enumerate(paths):
            os.link(path, frames / f"{index:06d}.png")
    return {"video": str(frames)}


def _write_image(image: Image.Image, folder: Path) -> Path:
    image = image.convert("RGB")
    path = folder / f"{hashlib.sha256(str(image.size).encode() + image.tobytes()).hexdigest()}.png"
    if not path.exists():
        image.save(path, compress_level=1)
    return path
