"""Linear layers in blocks of 32 weights, as onnxruntime and compressed-tensors have them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.export.histogram import histogram
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.runtime import feed, open_session
from rlquant.export.targets import MATMULNBITS
from rlquant.profiling.clock import times_in_turns
from rlquant_experiments.benchmarks.onnx_speed import float_file
from rlquant_experiments.real_networks.test_set import TestSet
from rlquant_experiments.targets.problems import Problems
from rlquant_experiments.targets.rows import BITS, FOLDER, ONNX, THEIR_ONNX, Figures, Row
from rlquant_experiments.targets.settings import BLOCK, TargetsSettings

ROUNDS = 20
"""In which files run one token, in turns."""


class BlockLab:
    """Files of a language model whose Linear layers but the head have few bits, all as many.

    Weights are rounded by GPTQ; onnxruntime's own quantizer rounds to nearest.

    Args:
        problems: of a task with token numbers as `input_ids`.
        test: what everything is measured on.
        settings: where files go.
    """

    def __init__(self, problems: Problems, test: TestSet, settings: TargetsSettings) -> None:
        self._problems, self._test, self._settings = problems, test, settings
        data: Any = problems.task.test
        self._tokens: Tensor = data["input_ids"]

    def figures(self, row: Row) -> Figures:
        """Return the figures of a row whose way is one of those of `WAYS`."""
        return WAYS[row.way](self, row.bits)

    @property
    def _network(self) -> nn.Module:
        """The float network."""
        return self._problems.task.network

    def _config(self, bits: int) -> QuantizationConfig:
        layers = [facts.name for facts in self._problems.of_blocks.layers]
        choice = LayerChoice("", bits, points="clipped", rounding="gptq", group_size=BLOCK)
        return QuantizationConfig.uniform(choice, layers)

    def _measured(self, network: nn.Module, start: float) -> Figures:
        """Return the figures of a network, begun at a time of the clock."""
        minutes = (time.perf_counter() - start) / 60
        found = self._test.measure(network)
        return Figures(
            promised=0,
            bytes=0,
            kl=found.loss,
            kl_999=found.metrics["kl_99.9"],
            perplexity=found.metrics["perplexity"],
            agreement=found.metrics["top1_agreement"],
            types="",
            minutes=minutes,
        )

    def _folder(self, bits: int) -> Figures:
        """Return the figures of a folder that transformers reads back."""
        import transformers

        start, config = time.perf_counter(), self._config(bits)
        network = self._problems.of_blocks.build(config)
        found = self._measured(network, start)
        export = rlquant.export_compressed_tensors(network, self._settings.out / f"ct-{bits}")
        reader: Any = transformers.AutoModelForCausalLM
        loaded = reader.from_pretrained(export.folder, dtype=torch.float32).eval()
        ours, theirs = (self._logits(each) for each in (network, loaded))
        one, runs = self._tokens[:1, :1], (self._network, loaded)
        seconds = _medians([partial(_run, each, one) for each in runs])
        feasible = self._problems.of_blocks.feasible
        return replace(
            found,
            promised=feasible.spent(feasible.indices(config)),
            bytes=export.bytes,
            types=_counted(export.schemes),
            runtime_kl=_divergence(ours, theirs),
            token_seconds=seconds[1],
            of_float=seconds[1] / seconds[0],
        )

    def _onnx(self, bits: int) -> Figures:
        """Return the figures of our file, in turns with the float file and onnxruntime's own."""
        start = time.perf_counter()
        network = self._problems.of_blocks.build(self._config(bits))
        found = self._measured(network, start)
        export = self._exported(network, self._tokens[:2])
        answers = Answers(export.path.read_bytes())
        apart = _divergence(self._logits(network), self._logits(answers))
        del answers
        one = self._tokens[:2, :1]
        plain = float_file(self._network, [one])
        files = [plain, self._exported(network, one).path.read_bytes()]
        if bits in BITS[THEIR_ONNX]:
            files.append(_by_onnxruntime(plain, bits))
        runs = [_runner(content, one[:1]) for content in files]
        taken = times_in_turns(runs, ROUNDS)
        ratios = np.median(taken[:, 1:2] / taken, axis=0)
        return replace(
            found,
            bytes=export.bytes,
            types=_counted(export.layers),
            runtime_kl=apart,
            token_seconds=float(np.median(taken[:, 1])),
            of_float=float(ratios[0]),
            of_theirs=float(ratios[2]) if len(files) > 2 else None,
        )

    def _their_onnx(self, bits: int) -> Figures:
        """Return the figures of the file that onnxruntime's own quantizer makes."""
        start = time.perf_counter()
        content = _by_onnxruntime(float_file(self._network, [self._tokens[:2]]), bits)
        found = self._measured(Answers(content), start)
        return replace(found, bytes=len(content), types=f"{bits} bits, nearest")

    def _exported(self, network: nn.Module, example: Tensor) -> Any:
        path = self._settings.out / "blocks.onnx"
        return export_onnx(network, {"input_ids": example}, path, target=MATMULNBITS)

    def _logits(self, network: nn.Module) -> Tensor:
        """Return log probabilities of the tokens of the first test sequence."""
        with torch.no_grad():
            found: Tensor = network(self._tokens[:1]).logits[0].log_softmax(dim=1)
        return found


WAYS: Mapping[str, Callable[[BlockLab, int], Figures]] = {
    FOLDER: BlockLab._folder,
    ONNX: BlockLab._onnx,
    THEIR_ONNX: BlockLab._their_onnx,
}


class Answers(nn.Module):
    """An ONNX file of a language model, as a network of transformers answers."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._session = open_session(content)

    def forward(self, input_ids: Tensor) -> Any:
        """Return what has the logits, shape `(sequences, tokens, vocabulary)`."""
        from transformers.modeling_outputs import CausalLMOutput

        found = self._session.run(None, feed(self._session, [input_ids]))
        return CausalLMOutput(logits=torch.from_numpy(found[0]))


def _by_onnxruntime(plain: bytes, bits: int) -> bytes:
    """Quantize the float file as onnxruntime does: nearest, symmetric, all but the head."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load_from_string(plain)
    head = [node.name for node in model.graph.node if node.op_type == "MatMul"][-1]
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=bits,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=0,
        nodes_to_exclude=[head],
    )
    quantizer.process()
    content: bytes = quantizer.model.model.SerializeToString()
    return content


def _runner(content: bytes, tokens: Tensor) -> Callable[[], object]:
    session = open_session(content)
    return partial(session.run, None, feed(session, [tokens]))


def _run(network: nn.Module, tokens: Tensor) -> None:
    with torch.no_grad():
        network(tokens)


def _medians(runs: list[Callable[[], object]]) -> list[float]:
    found: list[float] = np.median(times_in_turns(runs, ROUNDS), axis=0).tolist()
    return found


def _divergence(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.exp() * (ours - theirs)).sum(dim=1).mean())


def _counted(layers: Mapping[str, str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in histogram(layers.values()).items())
