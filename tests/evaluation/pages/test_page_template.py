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
"""Templates of pages."""

import jinja2
import pytest

from ftfv.evaluation.pages.page_template import render_template


def test_templates_escape_text_and_miss_nothing():
    values = {
        "videos": [],
        "sections": [],
        "counts": [2],
        "num_cases": 0,
        "model_name": "<b>",
        "num_query_tokens": 4,
        "saturation": 0.25,
        "numbered": 0,
        "scale": "data:,",
    }
    page = render_template("sheet.html.jinja", **values)
    assert page.startswith("<!DOCTYPE html>") and "&lt;b&gt;" in page and "saturate(0.25)" in page
    with pytest.raises(jinja2.UndefinedError, match="num_cases"):
        render_template("sheet.html.jinja", **{name: values[name] for name in values if name != "num_cases"})
