"""The same bytes in every run on a GPU: what can be held without one."""

import os

import pytest
import torch

from campfire.model.channels import MAX_LABELS, _sums_by_product, label_sums
from campfire.training.repeatable import repeatable
from support.pretrain_plates import same_tensors


def test_operations_on_a_gpu_add_in_a_fixed_order_within_the_block_alone() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    for device, wanted, expected in (("cuda", True, True), ("cuda", False, False), ("cpu", True, False)):
        with repeatable(torch.device(device), wanted):
            assert torch.are_deterministic_algorithms_enabled() == expected
            assert torch.utils.deterministic.fill_uninitialized_memory != expected
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory


def test_sums_by_label_are_the_same_as_a_product() -> None:
    values = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(0))
    for index in (torch.tensor([4, 200, 4]), torch.randint(0, MAX_LABELS, (6, 3))):
        labels = index.expand(6, 3).reshape(-1)
        torch.testing.assert_close(_sums_by_product(values.flatten(0, 1), labels), label_sums(values, index))


def test_tensors_that_differ_are_named_in_order() -> None:
    one = {"first": torch.zeros(4), "second": torch.ones(4), "third": torch.ones(2)}
    same_tensors(one, {name: value.clone() for name, value in one.items()})
    other = {**one, "second": torch.tensor([1.0, 1.0, 1.5, 1.0]), "third": torch.ones(3)}
    with pytest.raises(AssertionError, match=r"2 of 3(.|\n)*second: 25 % of values differ, at most by 0.5(.|\n)*third"):
        same_tensors(one, other)
