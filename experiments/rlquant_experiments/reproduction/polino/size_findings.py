"""P6, P8 and P9: bytes, and what the accuracy of a teacher costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.polino import variants as v
from rlquant_experiments.reproduction.polino.file_size import reduction
from rlquant_experiments.reproduction.polino.students import Students
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Summary, Values
from rlquant_experiments.reproduction.tables import listed, variants_table

P6 = Claim(
    "P6",
    "A deeper student of 4 bits is as accurate as the float teacher in a third of its bytes.",
    "CIFAR-10: 92.3 % accuracy at 4 bits, the teacher 89.71 %",
)
P8 = Claim(
    "P8",
    "Weights of b bits in buckets of k take bN + 2fN/k bits.",
    "a mean length of 1.717 bits makes weights 16.27 times smaller",
)
P9 = Claim(
    "P9",
    "A Huffman code takes less than b bits a weight, and less than 2 where b is 2.",
    "1.717 bits in a published log",
)

MATCH_POINTS = 0.5
TIMES_SMALLER = 3
FORMULA_PERCENT = 1.0


def size_findings(results: Results) -> Sequence[Finding]:
    """Return the findings on P6, P8 and P9."""
    students = Students(results)
    return [deeper_student(students), size_formula(students), code_lengths(students)]


def deeper_student(students: Students) -> Finding:
    """Return the finding on P6."""
    deeper = v.quantized_distillation(v.DEEPER_BITS)
    errors = {
        "float teacher": students.values(v.FLOAT, experiment=v.TEACHER),
        f"deeper student, {v.DEEPER_BITS} bits": students.values(deeper, experiment=v.DEEPER),
    }
    teacher, student = errors.values()
    smaller = students.values(v.FLOAT, "bytes", v.TEACHER) / students.values(
        deeper, "bytes", v.DEEPER
    )
    rows = [(v.TEACHER, v.FLOAT), (v.DEEPER, deeper)]
    columns = {"test error (%)": ("test_error", 2), "bytes": ("bytes", 0)}
    return Finding(
        claim=P6,
        ours=f"{listed(errors)}; {smaller.mean():.1f} times smaller",
        table=variants_table(students.results, rows, columns),
        comparisons=[
            Comparison.of("student - teacher (points)", student - teacher, "below", MATCH_POINTS),
            Comparison.of("teacher bytes / student bytes", smaller, "above", TIMES_SMALLER),
        ],
        note="The student has more layers than the teacher and follows it from fresh weights for "
        "as many epochs; bytes are those of the whole packed file, and of all float tensors.",
    )


def size_formula(students: Students) -> Finding:
    """Return the finding on P8."""
    names = [v.quantized_distillation(b) for b in v.DISTILLED_BITS]
    names += [v.learned_points(b) for b in v.LEARNED_BITS]
    rows = [(v.STUDENT, name) for name in names]
    rows.append((v.DEEPER, v.quantized_distillation(v.DEEPER_BITS)))
    unnamed = np.max(
        [np.abs(students.values(name, "unnamed_percent", e)) for e, name in rows], axis=0
    )
    beyond = _beyond_formula(students, rows)
    parts = ("formula", "head", "bucket", "block", "table")
    columns = {"file": ("bytes", 0), **{part: (f"{part}_bytes", 0) for part in parts}}
    factors = ", ".join(f"{reduction(b):.2f} at {b} bits" for b in (2, 4, 8))
    halves = ", ".join(f"{reduction(b, scale_bits=16):.2f} at {b} bits" for b in (2, 4, 8))
    return Finding(
        claim=P8,
        ours=f"files are {beyond} larger than the formula; all of it has a name (unnamed: "
        f"{unnamed.max():.3f} %)",
        table=variants_table(students.results, rows, columns, heading="bytes of"),
        comparisons=[
            Comparison.of(
                "file - formula - named terms, the largest of all (% of the file)",
                unnamed,
                "within",
                FORMULA_PERCENT,
                digits=3,
            )
        ],
        note=f"The formula here has what is not quantized (biases, BatchNorm) added, and f = 16: "
        f"scales are stored as float16. Beside it a file has a head (names, shapes, checksum), "
        f"whole last buckets, codes in blocks of eight, and the tables of learned points. On "
        f"files of a few kilobytes these terms are not small. Weights are smaller than in float32 "
        f"by, with the paper's f = 32: {factors}; with ours: {halves}.",
    )


def _beyond_formula(students: Students, rows: Sequence[tuple[str, str]]) -> str:
    shares = [
        100
        * float((students.values(n, "bytes", e) / students.values(n, "formula_bytes", e)).mean())
        - 100
        for e, n in rows
    ]
    return f"{min(shares):.1f} to {max(shares):.1f} %"


def code_lengths(students: Students) -> Finding:
    """Return the finding on P9."""
    bits_of = {v.quantized_distillation(b): b for b in v.DISTILLED_BITS}
    bits_of |= {v.post_mortem(b, buckets=True): b for b in v.POST_MORTEM_BITS}
    length = {name: students.values(name, "huffman_bits") for name in bits_of}
    above = [length[name] - students.values(name, "entropy_bits") for name in bits_of]
    saved = [bits - length[name] for name, bits in bits_of.items()]
    short: list[Values] = [length[name] for name, bits in bits_of.items() if bits == 2]
    learned = [v.learned_points(b) for b in v.LEARNED_BITS]
    columns = {"Huffman length (bits)": ("huffman_bits", 3), "entropy (bits)": ("entropy_bits", 3)}
    rows = [(v.STUDENT, name) for name in (*bits_of, *learned)]
    points = Summary.of(students.values(v.learned_points(2), "huffman_bits"))
    return Finding(
        claim=P9,
        ours=listed({name: length[name] for name, b in bits_of.items() if b <= 4}, "bits"),
        table=variants_table(students.results, rows, columns),
        comparisons=[
            Comparison.of("b - length, the smallest", np.min(saved, axis=0), "above", digits=3),
            Comparison.of(
                "length - entropy, the smallest", np.min(above, axis=0), "above", digits=3
            ),
            Comparison.of(
                "length - entropy, the largest", np.max(above, axis=0), "below", 1, digits=3
            ),
            Comparison.of("length at 2 bits, the largest", np.max(short, axis=0), "below", 2),
        ],
        note=f"One code for all layers of a network, as in the released code; packed files are "
        f"not Huffman-coded. Equally spaced points leave the outer codes to few weights. Points "
        f"at quantiles use all codes alike and save little: DQ at 2 bits {points.words(3)} bits.",
    )
