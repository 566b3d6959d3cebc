from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import rlquant
from image_files import jpeg
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.objective import Distillation, NextToken
from rlquant.tasks import load_model
from rlquant.tasks.own.parts import in_parts
from tiny_models import save_bert, save_llama, text_of

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(text_of(256 * 12))
    return tmp_path / "text.txt"


def test_parts_are_disjoint_stretches_of_which_places_are_spread() -> None:
    parts = in_parts(range(40), {"train": 5, "validation": 99, "test": 2}, "numbers")
    assert parts["train"] == [0, 4, 8, 12, 16]
    assert parts["validation"] == list(range(20, 30))
    assert parts["test"] == [30, 35]
    with pytest.raises(DataError, match="there are 7 numbers; give at least 8"):
        in_parts(range(7), {}, "numbers")


def test_a_language_model_of_a_folder_is_searched_by_its_own_outputs(
    llama: Path, text: Path
) -> None:
    task: Any = load_model(str(llama), text=[text])
    assert task.name == f"transformers:{llama}"
    assert (task.objective, task.metric) == (Distillation("kl"), NextToken())
    assert [len(part["input_ids"]) for part in (task.train, task.validation, task.test)] == [
        6,
        3,
        3,
    ]
    assert task.network.config.use_cache is False
    config = rlquant.QuantizationConfig(
        tuple(
            rlquant.LayerChoice(name, 4)
            for name, module in task.network.named_modules()
            if isinstance(module, nn.Linear)
        )
    )
    quantized = rlquant.quantize(task.network, config)
    measured = rlquant.measure(
        quantized, task.test, objective=task.objective, float_network=task.network
    )
    assert 0 < measured.loss < 1


def test_an_encoder_is_given_lines_and_compared_by_cosine(tmp_path: Path, text: Path) -> None:
    task: Any = load_model(f"transformers:{save_bert(tmp_path / 'bert')}", text=[text])
    assert task.objective == Distillation("cosine")
    assert {"input_ids", "attention_mask"} <= task.validation.keys()
    outputs = task.network(**task.validation).last_hidden_state
    assert outputs.shape == (len(task.validation["input_ids"]), 5, 16)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("transformers:{llama}", {}, "takes texts: give one or more text files"),
        ("transformers:{llama}", {"text": ["{text}"], "images": "x"}, "and no images"),
        ("transformers:{llama}", {"text": ["absent.txt"]}, "absent.txt"),
        ("transformers:{llama}", {"text": ["{short}"]}, "there are 1 sequences of 256 tokens"),
        ("transformers:{none}", {"text": ["{text}"]}, "has no config.json; give a folder that"),
        ("timm:resnet18", {}, "takes images|needs the package timm: run `.*-m pip install timm`"),
        (
            "nothing",
            {},
            "model='nothing', use transformers:FOLDER, gguf:FILE, timm:NAME or my_module:func",
        ),
        ("no_such_module:build", {}, "no_such_module cannot be imported"),
        ("math:no_such_function", {}, "math has no function 'no_such_function'"),
        ("math:cos", {"text": ["{text}"]}, "brings its own data: give no texts"),
    ],
)
def test_what_is_wrong_is_said(
    name: str, given: Any, words: str, llama: Path, text: Path, tmp_path: Path
) -> None:
    (tmp_path / "short.txt").write_text(text_of(300))
    places = {"llama": llama, "text": text, "none": tmp_path, "short": tmp_path / "short.txt"}
    if "text" in given:
        given = {**given, "text": [file.format(**places) for file in given["text"]]}
    with pytest.raises((DataError, SettingsError, OSError), match=words):
        load_model(name.format(**places), **given)


def test_a_folder_that_transformers_cannot_load_is_said(
    llama: Path, text: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text((llama / "config.json").read_text())
    with pytest.raises(NetworkError, match="cannot be loaded by transformers: "):
        load_model(f"transformers:{tmp_path}", text=[text])


MODULE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from rlquant.tasks import Task

def build():
    data = torch.randn(20, 3), torch.randint(2, (20,))
    return nn.Linear(3, 2), DataLoader(TensorDataset(*data), 10), data

def task():
    return Task("mine", *build(), build()[1])

def nothing():
    return None
"""


def test_a_function_of_a_module_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_module.py").write_text(MODULE)
    task: Any = load_model("my_own_module:build")
    assert task.name == "my_own_module:build"
    assert len(task.train) == 2
    assert torch.equal(task.test[0], task.validation[0])
    assert load_model("my_own_module:task").name == "mine"
    with pytest.raises(SettingsError, match=r"returns a NoneType; return a rlquant.tasks.Task, or"):
        load_model("my_own_module:nothing")
    assert str(tmp_path) not in sys.path
    sys.modules.pop("my_own_module")


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A library with one network, in place of timm."""
    from importlib.machinery import ModuleSpec

    module: Any = ModuleType("timm")
    module.__spec__ = ModuleSpec("timm", None)
    module.data = ModuleType("timm.data")
    settings = {
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.5, 0.5),
        "input_size": (3, 8, 8),
        "crop_pct": 1.0,
    }
    module.data.resolve_model_data_config = lambda network: settings

    def create_model(name: str, pretrained: bool) -> nn.Module:
        assert pretrained
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.mark.usefixtures("timm")
def test_a_network_of_timm_is_given_images(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(jpeg(20 * number, kind="PNG"))
    task: Any = load_model("timm:tiny", images=tmp_path)
    assert [len(part[1]) for part in (task.train, task.validation, task.test)] == [6, 3, 3]
    greys = torch.cat([part[0] for part in (task.train, task.validation, task.test)])
    expected = torch.tensor([(20 * i / 255 - 0.5) / 0.25 for i in range(12)])
    torch.testing.assert_close(greys[:, 0].mean(dim=(1, 2)).sort().values, expected)
    with pytest.raises(NetworkError, match=r"timm cannot make 'none': RuntimeError: Unknown model"):
        load_model("timm:none", images=tmp_path)
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.png: an image is damaged"):
        load_model("timm:tiny", images=tmp_path)
