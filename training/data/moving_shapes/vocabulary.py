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
"""The words of MovingShapes and the word-level tokenizer over them."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from .scenes import COLOURS, DIRECTIONS, SHAPES


SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>")
# A place in a text scene. Columns and rows have different words, so that a word alone tells what it measures.
COLUMNS = tuple(f"x{index}" for index in range(10))
ROWS = tuple(f"y{index}" for index in range(10))

WORDS = (
    *SPECIAL_TOKENS,
    *("user", "assistant", ":", ".", ",", "?", ";"),
    *("a", "the", "is", "are", "there", "and", "or", "then", "of", "in", "at"),
    *("what", "which", "way", "how", "many", "does"),
    *("colour", "shape", "shapes", "thing", "top", "bottom", "above", "yes", "no"),
    *("move", "moves", "appear", "appears", "turn", "turns", "still", "first", "last", "before"),
    *("never", "once", "twice", "times", "zero", "one", "two", "three", "four"),
    *("describe", "picture", "video", "detail", "frame"),
    *COLOURS,
    *SHAPES,
    *DIRECTIONS,
    *COLUMNS,
    *ROWS,
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Builds the word-level tokenizer of the miniature.

    Text is lower-cased and split into words and punctuation; what is not in `WORDS` becomes `<unk>`. Decoding joins
    the words with spaces, which is how questions and answers of MovingShapes are written.
    """
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
