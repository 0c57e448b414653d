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
Sharded training: two processes under FSDP2, one of them without media, end where one process ends that saw all rows.

accelerate would silently turn FSDP2 into data parallelism without a GPU, so this shards by `fully_shard` itself.
"""

import os
import socket
from collections.abc import Iterator

import pytest
import torch
import torch.multiprocessing
from peft import LoraConfig, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from trl.trainer.utils import add_fused_lm_head

from tests.tiny import IMAGE_TOKEN_ID, NUM_QUERIES, build_model, random_pixels, video_prompt


LEARNING_RATE = 0.05


def video_batch(seed):
    input_ids = torch.tensor([video_prompt(8 * 4) + [17, 2]])
    return {"input_ids": input_ids, "pixel_values_videos": random_pixels(1, 8, seed=seed)}


def image_batch(seed):
    input_ids = torch.tensor([[1, 6, 8] + [IMAGE_TOKEN_ID] * NUM_QUERIES + [11, 7, 8, 20, 21, 2]])
    return {"input_ids": input_ids, "pixel_values": random_pixels(1, seed=seed)}


def text_batch(seed):
    return {"input_ids": torch.tensor([[1, 6, 8, 11, 10, 7, 8, 18 + seed, 2]])}


# What each of two ranks sees in each step.
STEPS = [
    (video_batch(0), text_batch(0)),
    (text_batch(1), video_batch(1)),
    (text_batch(2), text_batch(3)),
    (image_batch(2), text_batch(4)),
]


def build():
    """What S4-V trains, in small: E, the adapter and the last layer of the tower in full, LoRA, all else frozen."""
    lora = LoraConfig(
        r=4,
        target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)",
        modules_to_save=["model.multi_modal_projector", "model.temporal_encoding", "vision_tower.encoder.layers.1"],
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(0)
    model = get_peft_model(build_model(), lora)
    # Without this LoRA's first gradient is zero for its A.
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    add_fused_lm_head(model.get_base_model())
    return model.train()


def loss_of(model, batch, num_tokens):
    """As TRL computes it: the log-probabilities of the answers, over all tokens of all ranks."""
    labels = batch["input_ids"].clone()
    labels[:, :-2] = -100
    outputs = model(**batch, labels=labels, fused_lm_head=True, use_cache=False)
    return -outputs.log_probs.sum() / num_tokens


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def run_rank(rank, port, path):
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = build()
    mesh = init_device_mesh("cpu", (2,))
    units = model.get_base_model()._no_split_modules
    for module in reversed(list(model.modules())):
        if type(module).__name__ in units:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    optimizer = torch.optim.SGD(trained(model).values(), lr=LEARNING_RATE)
    for batches in STEPS:
        # FSDP averages over the ranks.
        (2 * loss_of(model, batches[rank], num_tokens=4)).backward()
        assert all(parameter.grad is not None for parameter in trained(model).values())
        optimizer.step()
        optimizer.zero_grad()
    weights = {name: parameter.full_tensor().detach().clone() for name, parameter in trained(model).items()}
    if rank == 0:
        torch.save(weights, path)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        number = probe.getsockname()[1]
    yield number


@pytest.mark.slow
def test_two_sharded_processes_one_of_them_without_media_equal_one_process(tmp_path, port):
    torch.multiprocessing.spawn(run_rank, args=(port, tmp_path / "weights.pt"), nprocs=2)
    sharded = torch.load(tmp_path / "weights.pt")

    model = build()
    before = {name: parameter.detach().clone() for name, parameter in trained(model).items()}
    optimizer = torch.optim.SGD(trained(model).values(), lr=LEARNING_RATE)
    for batches in STEPS:
        for batch in batches:
            loss_of(model, batch, num_tokens=4).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = trained(model)
    assert sharded.keys() == after.keys()
    for name, parameter in after.items():
        # The same bias on all keys does not change an attention.
        assert torch.equal(parameter, before[name]) == name.endswith("k_proj.bias"), name
        torch.testing.assert_close(sharded[name], parameter.detach(), atol=1e-6, rtol=1e-4, msg=name)


def test_a_process_alone_encodes_no_unused_frame(monkeypatch):
    model = build_model().train()
    monkeypatch.setattr(model.model, "unused_frame", lambda: pytest.fail("encoded a frame"))
    model(**text_batch(0))


def test_the_unused_frame_changes_nothing_and_gives_every_part_a_gradient(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    model = build_model()
    expected = model(**text_batch(0)).logits
    logits = model.train()(**text_batch(0)).logits
    torch.testing.assert_close(logits, expected, atol=0, rtol=0)
    logits.sum().backward()
    for part in (model.model.vision_tower, model.model.temporal_encoding, model.model.multi_modal_projector):
        gradients = [parameter.grad for parameter in part.parameters()]
        # The queries are chosen without gradient, all else takes part.
        assert all(gradient is not None and not gradient.any() for gradient in gradients)
