"""SentencePiece tokenizers (Kudo and Richardson, 2018) in GGUF files, as Gemma's and Llama 2's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlquant.errors import FileFormatError
from rlquant.gguf.container import GgufFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What stands for a space in tokens."""
UNKNOWN = "tokenizer.ggml.unknown_token_id"
PREFIX = "tokenizer.ggml.add_space_prefix"
NORMAL = 1
LONGEST = 1024
"""Characters of a token: a longer one would be cut at each of them. Gemma's have up to 31."""


def sentencepiece(file: GgufFile, tokens: Sequence[str], kinds: Sequence[int]) -> Tokenizer:
    """Return the tokenizer without its control tokens.

    Pieces are joined to the token of the highest score, as byte-pair encoding joins the pair of the
    first rank; characters that are no token become their bytes.

    Args:
        file: of the tokenizer.
        tokens: by number.
        kinds: of the tokens, as files number them.

    Raises:
        FileFormatError: scores are missing or no numbers, a token is too long, or it cannot be
            made.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = file.value("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise FileFormatError("its tokenizer has no score for each of its tokens")
    if not all(isinstance(score, (int, float)) for score in scores):
        raise FileFormatError("its tokenizer has scores that are no numbers")
    longest = max(map(len, tokens), default=0)
    if longest > LONGEST:
        raise FileFormatError(f"its tokenizer has a token of {longest} characters, above {LONGEST}")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pieces = {
        token: score
        for token, score, kind in zip(tokens, scores, kinds, strict=True)
        if kind == NORMAL
    }
    unknown = file.value(UNKNOWN) if UNKNOWN in file.metadata else None
    known = isinstance(unknown, int) and 0 <= unknown < len(tokens)
    try:
        model = models.BPE(
            vocabulary,
            merges(pieces),
            byte_fallback=True,
            fuse_unk=True,
            unk_token=tokens[unknown] if known and isinstance(unknown, int) else None,
        )
    except Exception as error:  # the library's own class is that of all errors
        raise FileFormatError(f"its tokenizer cannot be made: {error}") from error
    tokenizer = Tokenizer(model)
    spaces: list[Any] = [normalizers.Replace(" ", SPACE)]
    own: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if PREFIX not in file.metadata or file.value(PREFIX):
        spaces.insert(0, normalizers.Prepend(" "))
        own.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.decoder = decoders.Sequence(own)
    return tokenizer


def merges(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of tokens that are joined, the first first.

    Args:
        scores: of tokens; the pair whose joined token has the highest is joined first.

    Examples:
        >>> merges({"a": -9.0, "b": -9.0, "ab": -2.0, "aba": -1.0})
        [('ab', 'a'), ('a', 'b')]
    """
    order = {token: number for number, token in enumerate(scores)}
    found = [
        (-score, order[token], at, token)
        for token, score in scores.items()
        for at in range(1, len(token))
        if token[:at] in order and token[at:] in order
    ]
    return [(token[:at], token[at:]) for _, _, at, token in sorted(found)]
