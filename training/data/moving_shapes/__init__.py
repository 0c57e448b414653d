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
"""MovingShapes: seeded pictures and clips of coloured shapes, with questions whose chance level is known."""

from .dataset import write_dataset, write_evaluation_set
from .questions import CHANCE, IMAGE_SKILLS, QUESTION_TYPES, TEMPORAL_SKILLS
from .stories import TextStory, draw_story
from .vocabulary import WORDS, build_tokenizer


__all__ = [
    "CHANCE",
    "IMAGE_SKILLS",
    "QUESTION_TYPES",
    "TEMPORAL_SKILLS",
    "WORDS",
    "TextStory",
    "build_tokenizer",
    "draw_story",
    "write_dataset",
    "write_evaluation_set",
]
