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
"""The logits that a step of TRL's trainer computes with an FTFV model, and its loss against the plain one."""

import pytest
import torch
import trl.trainer.utils
from datasets import load_dataset
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from trl import SFTConfig, SFTTrainer

from ftfv.training.data.dataset_folder import conversation_row, write_rows
from tests.tiny import build_model, build_processor


class HeadRows(TorchDispatchMode):
    """Counts the rows that are multiplied with a weight of shape `(vocabulary, hidden)`."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            *_, rows, other = args
            if other.untyped_storage().data_ptr() == self.weight.untyped_storage().data_ptr():
                self.count += rows.shape[:-1].numel()
        return function(*args, **(kwargs or {}))


@pytest.fixture
def trainer(clip, tmp_path):
    """A step of a video, a picture and text, with answers of several turns and padding."""
    picture = str(tmp_path / "picture.png")
    Image.new("RGB", (50, 40), "red").save(picture)
    rows = [
        conversation_row(clip, [("what moves ?", "the red circle"), ("which way ?", "left")]),
        conversation_row(picture, [("what shape ?", "a square")]),
        conversation_row(None, [("what moves right ?", "two red square")]),
    ]
    arguments = SFTConfig(
        output_dir=str(tmp_path / "output"),
        per_device_train_batch_size=3,
        max_length=None,
        assistant_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    write_rows(tmp_path / "data", "train", rows, "")
    dataset = load_dataset(str(tmp_path / "data"), split="train", cache_dir=str(tmp_path / "cache"))
    return SFTTrainer(build_model(), args=arguments, train_dataset=dataset, processing_class=build_processor())


@pytest.mark.parametrize("scores_labels_only", [True, False])
def test_the_head_sees_the_positions_of_the_answers(trainer, monkeypatch, scores_labels_only):
    """
    On a GPU TRL takes the positions with labels to the head. Without Triton, as here, it takes all of them; which it
    does is set here, and all else is the same code.
    """
    monkeypatch.setattr(trl.trainer.utils, "_use_triton", lambda device: scores_labels_only)
    batch = next(iter(trainer.get_train_dataloader()))
    labels = batch["labels"][:, 1:]
    num_labels = int((labels != -100).sum())
    assert num_labels == 3 + 1 + 1 + 1 + 2 + 1 + 3 + 1  # words of the answers, each with its end
    assert labels.numel() > 3 * num_labels

    model = trainer.model.train()
    called = []
    hook = model.lm_head.register_forward_hook(lambda *_: called.append(1))
    with HeadRows(model.lm_head.weight) as rows:
        loss = trainer.compute_loss(model, dict(batch), num_items_in_batch=torch.tensor(num_labels))
    hook.remove()
    assert rows.count == (num_labels if scores_labels_only else labels.numel())
    assert called == []

    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)
