"""Read a packed network (.rlq) with NumPy alone; a reference for readers in other languages.

`read(path)` returns every tensor by name, quantized weights as float32; `python read_rlq.py FILE`
lists them. rlquant/cost/file_layout.py has the layout. Entropy coding needs package constriction.
"""

import hashlib
import math
import struct
import sys
from pathlib import Path

import numpy as np

DTYPES = ["f4", "f2", "bfloat16", "f8", "i8", "i4", "i2", "i1", "u1", "b1", "c8", "c16"]
BYTES = [4, 2, 2, 8, 8, 4, 2, 1, 1, 1, 8, 16]
QUANTIZED, TERNARY = 255, 2  # in place of a type; of float, post_training, ternary, distilled
FIXED_POINT, AFFINE, STEP, LINEAR, K_SYMMETRIC, WHOLE = 2, 3, 7, 8, 10, 11  # 4 to 6: stored points
PER_CHANNEL, PER_TENSOR, NUMBER = range(3)  # what shares a scale; the number stands behind


def varint(data, at):
    """Return the LEB128 number that begins at `at`, and where it ends."""
    end = next(i for i in range(at, at + 9) if i == at + 8 or data[i] < 0x80) + 1
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[at:end])), end


def entries(contents):
    """Yield name, shape, number of the type, record, group size and bytes of coded codes."""
    (count,), at, name = struct.unpack_from("<4xI", contents), 8, b""
    if count > 2**16:
        raise ValueError(f"{count} tensors, at most 65536 are read")
    for _ in range(count):
        shared, at = varint(contents, at)
        length, at = varint(contents, at)
        name, at = name[:shared] + contents[at : at + length], at + length
        number, (axes, at), shape = contents[at], varint(contents, at + 1), []
        for _ in range(axes):
            size, at = varint(contents, at)
            shape.append(size)
        record = group = coded = None
        if number == QUANTIZED:
            record, at = contents[at : at + 8], at + 8
            group, at = varint(contents, at) if record[7] // 2 == NUMBER else (None, at)
            coded, at = varint(contents, at) if record[7] % 2 else (None, at)
        yield name.decode(), tuple(shape), number, record, group, coded


def numbers(data, kind):
    """Return bytes as numbers; bfloat16, which NumPy lacks, as float32."""
    if kind == "bfloat16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, "<" + kind)


def unpack_ternary(data, _, count):
    """Five blocks of codes: the j-th of each make byte j, in base 3."""
    return (np.frombuffer(data, np.uint8) // [[1], [3], [9], [27], [81]] % 3).reshape(-1)[:count]


def unpack_bits(data, bits, count):
    """Eight blocks of codes: the j-th of each make a word, which is byte j of `bits` planes."""
    planes = np.frombuffer(data, np.uint8).reshape(bits, -1)
    words = np.unpackbits(planes, 0, bitorder="little").reshape(8, bits, -1)
    return sum(words[:, bit].astype(np.uint16) << bit for bit in range(bits)).reshape(-1)[:count]


def decode_entropy(data, options, count):
    """The counts of the codes, then what an ANS coder made of them."""
    import constriction  # where this fails, the file must be saved without entropy coding

    at, counts = 0, np.zeros(options)
    for code in range(options):
        counts[code], at = varint(data, at)
    model = constriction.stream.model.Categorical(counts, perfect=False)
    words = np.frombuffer(data[at:], "<u4").astype(np.uint32)
    return constriction.stream.stack.AnsCoder(words).decode(model, count)


def per_weight(values, shape, group, axis):
    """Spread the numbers of the groups so that they fit the weights."""
    rest = shape[:axis] + shape[axis + 1 :]
    if group is None or values.size == 1:
        return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    rows = values.reshape(shape[axis], -1).repeat(min(group, math.prod(rest)), 1)
    return np.moveaxis(rows[:, : math.prod(rest)].reshape(-1, *rest), 0, axis)


@np.errstate(all="ignore")  # numbers in a damaged file may overflow
def dequantize(body, at, shape, record, group, coded):
    """Return a quantized weight's values, and where its bytes end."""
    method, _, points, bits, activation_bits, axis, number, last = record
    count, ternary = math.prod(shape), method == TERNARY
    of_channel = -(-(count // shape[axis]) // (group or count))
    groups = 1 if last // 2 == PER_TENSOR else shape[axis] * of_channel
    scales = 0 if ternary else 1 if points == FIXED_POINT else groups
    offsets = 0 if ternary or points < AFFINE or points == K_SYMMETRIC else groups
    stored = 2 if ternary else 2**bits if AFFINE < points < STEP else 0
    plain = -(-count // 5) if ternary else -(-count // 8) * bits
    start = at + (plain if coded is None else coded)
    end = start + (scales + offsets + stored) * BYTES[number]
    if bits > 16 or count > 2**31 or end > len(body):
        raise ValueError("a weight of more bits or numbers than there can be")
    if coded is not None:
        codes = decode_entropy(body[at:start], 3 if ternary else 2**bits, count)
    else:
        codes = (unpack_ternary if ternary else unpack_bits)(body[at:start], bits, count)
    parts = numbers(body[start:end], DTYPES[number]).astype(np.float32)
    scale, offset, codebook = np.split(parts, [scales, scales + offsets])
    codebook = np.insert(codebook, 1, 0) if ternary else codebook
    if not stored:
        codebook, top = np.arange(2**bits, dtype=np.float32), np.float32(2**bits - 1)
        if points in (AFFINE, LINEAR):
            codebook = codebook / top
        elif points < AFFINE or points == K_SYMMETRIC:
            codebook = codebook - 2 ** (bits - 1)
        if points in (AFFINE, WHOLE):  # zero points
            offset = -(scale * (offset / top if points == AFFINE else offset))
    result = codebook[codes].reshape(shape)
    result = result * per_weight(scale, shape, group, axis) if scales else result
    result = result + per_weight(offset, shape, group, axis) if offsets else result
    return result, end + (6 if activation_bits else 0)  # scale and zero point of the inputs


def tensors(path):
    """Yield name, array, bits of a weight and bytes in the file of every tensor."""
    data = Path(path).read_bytes() if Path(path).is_file() else b""
    magic, version, size, length, checksum = struct.unpack_from("<4sHxxIQ16s", data.ljust(36))
    if magic != b"RLQ\x89" or version != 4 or 36 + size + length != len(data):
        raise ValueError(f"{path} is no whole .rlq file of version 4")
    if hashlib.blake2b(data[:20] + data[36:], digest_size=16).digest() != checksum:
        raise ValueError(f"{path} is damaged: its checksum does not match")
    try:
        body, at = data[36 + size :], 0
        for name, shape, number, record, group, coded in entries(data[36 : 36 + size]):
            begin, bits = at, "-"
            if number == QUANTIZED:
                array, at = dequantize(body, at, shape, record, group, coded)
                bits = "1.6" if record[0] == TERNARY else record[3]
            else:
                at += math.prod(shape) * BYTES[number]
                array = numbers(body[begin:at], DTYPES[number]).reshape(shape)
            yield name, array, bits, at - begin
    except (LookupError, TypeError, ArithmeticError, struct.error) as error:
        raise ValueError(f"{path} is damaged: {str(error)[:200]}") from error


def read(path):
    """Return every tensor by name."""
    return {name: array for name, array, _, _ in tensors(path)}


if __name__ == "__main__":
    for name, array, bits, size in tensors(sys.argv[1]):
        print(f"{name:40} {array.shape!s:24} {bits!s:>4} bits {size:12,} bytes")  # noqa: T201
