"""Copies of networks: independent of the original, functions that modules carry included."""

from __future__ import annotations

import copy
import functools
import itertools
import threading
import types
import weakref
from collections.abc import Callable, Generator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import small_networks
from rlquant.copying.network_copy import copy_network, independent_copy, shared_copy
from rlquant.errors import NetworkError
from small_networks import NETWORKS, ConvNet, TiedNet, fresh

Forward = Callable[..., Any]


class Held:
    """A callable object that holds a function."""

    def __init__(self, function: Forward) -> None:
        self.function = function

    def __call__(self, x: Tensor) -> Any:
        return self.function(x)


class HeldInSlots:
    """The same with its attribute in a slot."""

    __slots__ = ("function",)

    def __init__(self, function: Forward) -> None:
        self.function = function

    def __call__(self, x: Tensor) -> Any:
        return self.function(x)


def recursive(forward: Forward) -> Forward:
    def again(x: Tensor, times: int = 2) -> Any:
        return again(x, times - 1) if times else forward(x)

    return again


def through_weak_reference(forward: Forward) -> Forward:
    reference = weakref.ref(forward.__self__)  # type: ignore[attr-defined]
    return lambda x: type(reference()).forward(reference(), x)


def by_parameters(forward: Forward) -> Forward:
    """Replace the forward of a Linear layer by a closure over its parameters."""
    layer = forward.__self__  # type: ignore[attr-defined]
    if isinstance(layer, nn.Sequential):
        first, last = layer[0].weight, layer[2].weight
        rest = layer[0].bias, layer[2].bias
        return lambda x: torch.relu(x @ first.T + rest[0]) @ last.T + rest[1]
    weight, bias = layer.weight, layer.bias
    return lambda x: nn.functional.linear(x, weight, bias)


def by_views(forward: Forward) -> Forward:
    """Replace the forward by a closure over views of its parameters."""
    layer = forward.__self__  # type: ignore[attr-defined]
    layers = [layer[0], layer[2]] if isinstance(layer, nn.Sequential) else [layer]
    views = [(m.weight.detach().t(), m.bias.detach()) for m in layers]

    def run(x: Tensor) -> Tensor:
        for number, (weight, bias) in enumerate(views):
            x = (torch.relu(x) if number else x) @ weight + bias
        return x

    return run


WRAPPERS: dict[str, Callable[[Forward], Forward]] = {
    "no_grad": lambda f: torch.no_grad()(f),
    "autocast": lambda f: torch.autocast("cpu", torch.bfloat16, enabled=False)(f),
    "compile": lambda f: torch.compile(f, backend="eager"),  # type: ignore[call-overload,no-any-return]
    "closure": lambda f: lambda x: f(x),
    "closures in closures": lambda f: torch.no_grad()(lambda x: (lambda y: f(y))(x)),
    "partial": lambda f: functools.partial(lambda g, x: g(x), f),
    "wraps": lambda f: functools.wraps(f)(lambda *given: f(*given)),
    "default": lambda f: lambda x, g=f: g(x),
    "keyword default": lambda f: lambda x, *, g=f: g(x),
    "dict": lambda f: (lambda kept: lambda x: kept["f"](x))({"f": f}),
    "list of tuples": lambda f: (lambda kept: lambda x: kept[0][0](x))([(f,)]),
    "object": Held,
    "slots": HeldInSlots,
    "object in a closure": lambda f: (lambda held: lambda x: held(x))(Held(f)),
    "method type": lambda f: types.MethodType(lambda self, x: f(x), f.__self__),  # type: ignore[attr-defined]
    "weak reference": through_weak_reference,
    "recursive": recursive,
    "parameters": by_parameters,
    "views": by_views,
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def require_independent(original: nn.Sequential) -> None:
    """Hold that a copy gives the same outputs, and answers to its own weights and no others."""
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    outputs = network()(inputs)  # of one whose forward nothing replaced
    copied = copy_network(original)
    assert torch.allclose(copied(inputs), outputs, atol=1e-6)
    with torch.no_grad():
        for layer in (original[0], original[2]):
            layer.weight.mul_(2)
        assert torch.allclose(copied(inputs), outputs, atol=1e-6)
        for name in ("0", "2"):
            copied.get_submodule(name).weight.zero_()  # type: ignore[operator, union-attr]
    expected = original[2].bias.expand(4, 3)
    assert torch.equal(copied(inputs), expected)


@pytest.mark.parametrize("words", WRAPPERS)
@pytest.mark.parametrize("whole", [False, True], ids=["layer", "network"])
def test_a_replaced_forward_computes_with_the_copy(words: str, whole: bool) -> None:
    original = network()
    for module in (original,) if whole else (original[0], original[2]):
        module.forward = WRAPPERS[words](module.forward)
    require_independent(original)


def test_a_copy_of_a_copy_computes_with_itself() -> None:
    original = network()
    original.forward = torch.no_grad()(original.forward)
    require_independent(independent_copy(original).eval())  # type: ignore[arg-type]


def test_a_hook_that_knows_modules_knows_those_of_the_copy() -> None:
    original = network()
    calls = dict.fromkeys(original, 0)

    def count(module: nn.Module, args: Any, output: Any) -> None:
        calls[module] += 1

    for module in original:
        module.register_forward_hook(count)
    copy_network(original)(torch.zeros(1, 6))
    assert list(calls.values()) == [0, 0, 0]
    require_independent(original)


def test_functions_that_lead_nowhere_stay_what_they_are() -> None:
    original = network()
    kept: list[Any] = []
    hook = lambda module, args: kept.append(args)  # noqa: E731
    original.register_forward_pre_hook(hook)
    copied = copy_network(original)
    assert next(iter(copied._forward_pre_hooks.values())) is hook
    copied(torch.zeros(1, 6))
    assert len(kept) == 1


def refusal(original: nn.Module) -> str:
    with pytest.raises(NetworkError) as caught:
        copy_network(original)
    assert len(str(caught.value)) <= 500
    return str(caught.value)


def test_a_function_that_is_never_copied_is_refused_by_its_layer() -> None:
    original = network()
    original[2].forward = functools.lru_cache(original[2].forward)
    assert "layer '2'" in refusal(original)
    assert "_lru_cache_wrapper, which is never copied" in refusal(original)


def test_a_value_that_cannot_be_copied_is_refused_by_its_layer() -> None:
    original = network()
    bound = weakref.WeakMethod(original[0].forward)
    original[0].forward = lambda x: bound()(x)  # type: ignore[misc]
    assert "layer '0'" in refusal(original)
    assert "WeakMethod, which cannot be copied" in refusal(original)


def by_mapping_proxy(held: nn.Module) -> Forward:
    kept = types.MappingProxyType({"net": held})
    return lambda x: nn.Sequential.forward(kept["net"], x)  # type: ignore[arg-type]


def by_iterator(held: nn.Module) -> Forward:
    kept = itertools.cycle([held])
    return lambda x: nn.Sequential.forward(next(kept), x)  # type: ignore[arg-type]


def by_array(held: nn.Module) -> Forward:
    kept = np.empty(1, object)
    kept[0] = held
    return lambda x: nn.Sequential.forward(kept[0], x)


def by_generator(held: nn.Module) -> Forward:
    def passes() -> Generator[Any, Tensor, None]:
        outputs = None
        while True:
            inputs = yield outputs
            outputs = held._modules["0"](inputs)  # type: ignore[misc]

    kept = passes()
    next(kept)
    return kept.send


@pytest.mark.parametrize("by", [by_mapping_proxy, by_iterator, by_array, by_generator])
def test_a_forward_that_holds_the_network_where_nothing_can_be_put_is_refused(
    by: Callable[[nn.Module], Forward],
) -> None:
    original = network()
    original.forward = by(original)  # type: ignore[method-assign]
    assert "the network itself: it computes with modules or weights of" in refusal(original)


def test_a_forward_that_uses_nothing_of_the_network_is_refused() -> None:
    original = network()
    weights = {name: p.detach().clone() for name, p in original.named_parameters()}
    other = network()
    original.forward = lambda x: torch.func.functional_call(other, weights, (x,))  # type: ignore[method-assign]
    assert "a function that uses none of its modules and weights" in refusal(original)


def test_a_module_that_is_skipped_may_be_copied() -> None:
    original = network()
    original[2].forward = lambda x: x
    inputs = torch.randn(4, 6)
    assert torch.equal(copy_network(original)(inputs), original(inputs))


LAYER: list[nn.Module] = []


def forward_of_global(x: Tensor) -> Any:
    return LAYER[0].weight @ x  # type: ignore[operator]


def test_a_forward_that_uses_a_global_is_refused_by_its_layer() -> None:
    original = network()
    LAYER[:] = [original[0]]
    try:
        original[0].forward = forward_of_global
        assert "layer '0'" in refusal(original)
        assert "forward_of_global uses the global 'LAYER'" in refusal(original)
        original[0].forward = lambda x: forward_of_global(x)
        assert "uses the global 'forward_of_global'" in refusal(original)
    finally:
        LAYER.clear()


def test_a_forward_that_uses_what_another_module_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = network()
    monkeypatch.setattr(small_networks, "HELD", original, raising=False)
    original.forward = lambda x: nn.Sequential.forward(small_networks.HELD, x)  # type: ignore[attr-defined, method-assign]
    assert "uses the global 'small_networks.HELD'" in refusal(original)


class Calling(nn.Sequential):
    """What it computes with is an attribute of its class."""

    others: ClassVar[list[nn.Module]] = []

    def __call__(self, x: Tensor) -> Any:
        return nn.Sequential.forward(self.others[0], x)  # type: ignore[arg-type]


class Picking(Calling):
    def __call__(self, x: Tensor) -> Any:
        return self.forward(x)

    def __getitem__(self, index: Any) -> Any:
        return self.others[0]._modules[str(index)]

    def forward(self, x: Tensor) -> Any:
        return self[2](self[1](self[0](x)))


@pytest.mark.parametrize("cls", [Calling, Picking])
def test_a_class_with_an_attribute_that_holds_the_network_is_refused(
    cls: type[Calling], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = cls(*network())
    monkeypatch.setattr(Calling, "others", [original])
    assert f"{cls.__name__}.others of its class holds or uses them" in refusal(original)


def test_a_class_whose_code_holds_a_module_is_refused() -> None:
    body = network()

    class Closing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Tensor) -> Any:
            return self._run(x)

        def _run(self, x: Tensor) -> Any:
            return body(x)

    assert "Closing._run of its class" in refusal(Closing())


def test_a_class_that_only_shares_a_name_with_a_global_is_copied() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.LAYER = network()

        def forward(self, x: Tensor) -> Any:
            return self.LAYER(x)

    original = Named()
    LAYER[:] = [original.LAYER]
    try:
        copy_network(original)
    finally:
        LAYER.clear()


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.lock = threading.Lock()


class Uncopied(nn.Module):
    """Says itself that it cannot be copied, or gives itself away as its copy."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails = fails

    def __deepcopy__(self, memo: Any) -> Any:
        if self.fails:
            raise RuntimeError("not copied")
        return self


class Sharing(nn.Sequential):
    """Its copies share the parameters of the original."""

    def __deepcopy__(self, memo: Any) -> Any:
        return Sharing(*(copy.copy(module) for module in self))


def test_a_copy_that_shares_memory_is_refused() -> None:
    words = "layer '0': copying the network does not copy its tensor 'weight'"
    assert words in refusal(Sharing(nn.Linear(2, 2)))


def test_what_cannot_be_copied_is_named() -> None:
    words = refusal(nn.Sequential(nn.Linear(2, 2), Locked()))
    assert words.startswith("layer '1': its attribute 'lock' cannot be copied (TypeError")
    words = refusal(nn.Sequential(nn.Linear(2, 2), Uncopied(fails=True)))
    assert words.startswith("layer '1' cannot be copied (RuntimeError: not copied)")
    assert "layer '0': copying the network does not copy" in refusal(
        nn.Sequential(Uncopied(fails=False))
    )


class Remembering(nn.Module):
    """Keeps the features of its last pass."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, x: Tensor) -> Any:
        self.last = self.body(x)
        self.seen.append({"features": self.last})
        return self.last


def test_features_that_were_kept_come_without_their_graph() -> None:
    original = Remembering()
    original(torch.ones(2, 6))
    copied = copy_network(original)
    assert isinstance(copied, Remembering)
    assert torch.equal(copied.last, original.last)
    assert copied.last.is_leaf
    assert copied.seen[0]["features"] is copied.last
    assert not original.last.is_leaf


def test_only_unset_parameters_may_differ() -> None:
    network = fresh(NETWORKS["conv"].build).to(memory_format=torch.channels_last)
    copied = copy_network(network, unset=[network.stem.weight, network.classifier.bias])
    assert isinstance(copied, ConvNet)
    assert not copied.training
    before = network.state_dict()
    for name, value in copied.state_dict(keep_vars=True).items():
        assert not value.requires_grad
        assert value.data_ptr() != before[name].data_ptr()
        assert value.stride() == before[name].stride()
        if name not in ("stem.weight", "classifier.bias"):
            assert torch.equal(value, before[name]), name
    assert network.training
    assert network.stem.weight.requires_grad


def test_tied_parameters_stay_tied() -> None:
    network = fresh(TiedNet)
    copied = copy_network(network, unset=(p for p in network.parameters()))
    assert copied.logits.weight is copied.words.weight
    assert copied.words.weight is not network.words.weight


class WithView(nn.Module):
    """Holds a view of a weight besides, in an attribute or in a closure."""

    def __init__(self, *, closure: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)
        view = self.first.weight.detach()
        self.view = (lambda: view) if closure else view

    def forward(self, x: Tensor) -> Any:
        view = self.view if isinstance(self.view, Tensor) else self.view()
        return self.last(self.first(x) + x @ view)


@pytest.mark.parametrize("closure", [False, True])
def test_shared_copies_share_the_weights_that_nothing_else_is_a_view_of(closure: bool) -> None:
    network = WithView(closure=closure).eval()
    copied, x = shared_copy(network), torch.randn(4, 3)
    assert isinstance(copied, WithView)
    assert torch.equal(copied(x), network(x))
    assert copied.last.weight.data_ptr() == network.last.weight.data_ptr()
    assert copied.first.weight.data_ptr() != network.first.weight.data_ptr()
    copied.first.weight.data.zero_()
    assert network.first.weight.any()
    assert not (copied.view if isinstance(copied.view, Tensor) else copied.view()).any()


def test_a_shared_copy_keeps_its_buffers_to_itself() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    with torch.inference_mode():
        copied = shared_copy(network)
    assert copied[0].weight._version == 0  # type: ignore[index, union-attr]
    copied[1].running_mean.add_(1)  # type: ignore[index, union-attr, operator]
    assert not network[1].running_mean.any()  # type: ignore[union-attr]
