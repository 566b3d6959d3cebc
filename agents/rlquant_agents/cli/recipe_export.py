"""The configuration of a run as a recipe file of another tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from rlquant.errors import SettingsError
from rlquant.export import recipes
from rlquant.files import write_file
from rlquant.paths import path_of
from rlquant_agents.cli.hints import near
from rlquant_agents.reporting.run_files import RunFiles, read_run

RecipeName = Literal["llm-compressor", "torchao", "modelopt", "llama.cpp"]
Loads = Callable[[], nn.Module]
"""Loads the float network, where a recipe needs it."""


@dataclass(frozen=True)
class Recipe:
    """A tool that takes recipes.

    Attributes:
        file: its name in the run folder.
        text: of a run and its float network.
        used: how the tool is given it.
    """

    file: str
    text: Callable[[RunFiles, Loads], str]
    used: str


def _torchao(run: RunFiles, network: Loads) -> str:
    found = recipes.torchao(run.config, run.facts.layers)
    from torchao.core.config import config_to_dict

    return json.dumps(config_to_dict(found), indent=2) + "\n"


RECIPES: Mapping[RecipeName, Recipe] = {
    "llm-compressor": Recipe(
        "llm-compressor.yaml",
        lambda run, network: recipes.llm_compressor(run.config, run.facts.layers),
        "llmcompressor.oneshot(model=..., recipe=PATH)",
    ),
    "torchao": Recipe(
        "torchao.json",
        _torchao,
        "quantize_(network, torchao.core.config.config_from_dict(json.load(...)), filter_fn=None)",
    ),
    "modelopt": Recipe(
        "modelopt.yaml",
        lambda run, network: recipes.modelopt(run.config, run.facts.layers),
        "modelopt.torch.quantization.quantize(network, yaml.safe_load(...), forward_loop)",
    ),
    "llama.cpp": Recipe(
        "tensor-types.txt",
        lambda run, network: recipes.llama_cpp(run.config, network()),
        "llama-quantize --tensor-type-file PATH FLOAT.gguf OUT.gguf Q4_K_M",
    ),
}


def write_recipe_of(name: RecipeName, result: Path, out: Path | None, network: Loads) -> str:
    """Write a recipe and say how it is used.

    Args:
        name: of the tool.
        result: the folder of a finished search.
        out: the file; by default one in the folder.
        network: loads the float network.

    Raises:
        SettingsError: `result` is no folder, or the tool cannot express the configuration.
        FileFormatError: the folder holds no finished search.
        StorageError: the file cannot be written.
    """
    folder = path_of("result", result)
    if not folder.is_dir():
        raise SettingsError(f"--recipe needs the folder of a search, {result} is none")
    recipe = RECIPES[name]
    path = path_of("out", out or folder / recipe.file)
    write_file(path, recipe.text(read_run(folder), network))
    return (
        f"written to {near(path)}, for {name}, which chooses scales and rounding itself:\n"
        f"  {recipe.used}"
    )
