"""Networks that are hard to cut: in-place steps, shapes and tuples across cuts, and worse."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from small_networks import CLASSES, FEATURES, IMAGE


class InPlaceNet(nn.Module):
    """Residual, as torchvision writes it: in-place activations and additions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(IMAGE[0], 6, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.shortcut = nn.Conv2d(6, 8, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(self.stem_norm(self.stem(images)))
        out = self.relu(self.norm1(self.conv1(hidden)))
        out = self.norm2(self.conv2(out))
        out += self.shortcut_norm(self.shortcut(hidden))  # `out` lives across the shortcut's cut
        out = self.relu(out)
        output: Tensor = self.classifier(out.mean(dim=(2, 3)))
        return output


class SharedInput(nn.Module):
    """A tensor that is written to long after others were made of it, and used again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 8)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(inputs))
        more = self.second(hidden)
        hidden.add_(1.0)
        more = torch.relu_(self.third(more)) * hidden
        hidden.clamp_(max=1.5)
        output: Tensor = self.last(more + hidden)
        return output


class Preamble(nn.Module):
    """Work before the first layer; shapes and a tuple of tensors cross the cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.second = nn.Linear(4, 4)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor, shift: float = 0.5) -> Tensor:
        scaled = (inputs - inputs.mean(dim=1, keepdim=True)) * 2
        count = scaled.shape[0]
        left, right = torch.chunk(self.first(scaled), 2, dim=1)
        joined = torch.cat([self.second(left).view(count, -1), right], dim=1)
        output: Tensor = self.last(torch.relu(joined))
        return output


class Nested(nn.Module):
    """Searched layers within a module of torch's own, and dictionaries as outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(inplace=True), nn.Linear(8, 8))
        self.head = nn.ModuleDict({"a": nn.Linear(8, CLASSES), "b": nn.Linear(8, CLASSES)})

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.block(inputs)
        output: Tensor = self.head["a"](hidden) + self.head["b"](hidden)
        return output


class Overwriting(nn.Module):
    """It writes to its inputs before each of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, FEATURES)
        self.second = nn.Linear(FEATURES, FEATURES)
        self.last = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs.mul_(0.5)
        hidden = self.first(inputs)
        inputs.add_(hidden)
        hidden = self.second(torch.relu_(hidden)).add_(inputs)
        output: Tensor = self.last(inputs.sub_(hidden))
        return output


CUTTABLE = {
    "in-place": (InPlaceNet, IMAGE),
    "shared-input": (SharedInput, (FEATURES,)),
    "preamble": (Preamble, (FEATURES,)),
    "nested": (Nested, (FEATURES,)),
    "overwriting": (Overwriting, (FEATURES,)),
}


class Plain(nn.Module):
    """Two layers; children spoil its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, FEATURES)
        self.last = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.last(torch.relu(self.first(inputs)))
        return output


class Branching(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        output: Tensor = self.last(hidden if hidden.mean() > 0 else -hidden)
        return output


class Assigning(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        hidden[:, 0] = 0.5
        output: Tensor = self.last(hidden)
        return output


class Dropping(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.dropout(self.first(inputs), 0.5, training=True)
        output: Tensor = self.last(hidden)
        return output


class Counting(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        assert isinstance(self.runs, Tensor)
        self.runs += 1
        return super().forward(inputs)


class Borrowing(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.last(self.first(inputs) @ self.first.weight)
        return output


class Aliasing(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        view = hidden[:, :3]
        output: Tensor = self.last(hidden)
        view.add_(1.0)
        return output + hidden.sum(dim=1, keepdim=True) + view.sum(dim=1, keepdim=True)


class Bypassing(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        inputs.data.clamp_(max=9.0)
        return super().forward(inputs)


class Writing(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        parts = self.first(inputs).split(3, dim=1)
        output: Tensor = self.last(torch.cat(parts, dim=1))
        return output + parts[0].mul_(0.5)


class Computing(Plain):
    def forward(self, inputs: Tensor, factor: float = 2.0) -> Tensor:
        output: Tensor = self.last(self.first(inputs) * factor)
        return output


class TracedOtherwise(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        if isinstance(inputs, torch.fx.Proxy):
            return super().forward(inputs * 2)
        return super().forward(inputs)


class OutOfOrder(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        if isinstance(inputs, torch.fx.Proxy):
            output: Tensor = self.last(inputs)
            return output
        return super().forward(inputs)


UNCUTTABLE = {
    Branching: "torch.fx cannot trace it",
    Assigning: "torch.fx cannot trace it",
    Dropping: "something else when it is run again",
    Counting: "changes its own parameters or buffers",
    Borrowing: "uses first.weight outside",
    Bypassing: "uses .data",
    Writing: "a part of a collection",
    Aliasing: "also has a view of",
    TracedOtherwise: "something else than the whole",
    OutOfOrder: "runs the layers",
}
