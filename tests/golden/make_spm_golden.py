"""Small SentencePiece models, and what SentencePiece and tokenizers make of texts with them.

usage: python make_spm_golden.py     writes spm/ beside this script
Needs: sentencepiece tokenizers. Made with sentencepiece 0.2.3, tokenizers 0.23.3.

bpe.model, unigram.model: models as `tokenizer.model` holds them, trained on the corpus below (BPE with bytes for what is unknown, as
Llama 2 has it; unigram with a few rules of normalisation). spm.json: {"texts", "bpe": {"ids", "pieces", "scores", "types"}, "unigram": {"ids"}} by
SentencePiece itself; "llama": {"tokenizer", "whole", "pairs"} is the BPE model as a tokenizer.json of Llama 2's form with BOS in its
post-processor: ids of texts with special tokens added, and of [before, after] as one text, split where `after` begins.
"""
import json
import os
from importlib.metadata import version
from pathlib import Path

import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

OUT = Path(__file__).parent / "spm"
CORPUS = ["The quick brown fox jumps over the lazy dog.", "What is 12 + 345? It is 357.", "def add(a, b):\n    return a + b",
          "Die Straße führt nach Überlingen.", "naïve café, déjà vu", "the answer is 42, the answer is 7", "Paris is the capital of France.",
          "日本語のテキストです", "one two three four five six seven eight nine ten", "2+2=4, 3+3=6, 10-7=3"] * 20
TEXTS = ["", " ", "  ", "Hello", " Hello", "the answer is 42", "  two  spaces  ", "12 + 345 = 357", "\n", "a\n\nb", "\tx", "naïve café", "日本語",
         "🙂 emoji", "the<s>answer", "</s>", "Paris is", " the capital", "x" * 30, "▁", "½ ² ﬁ", "e\u0301", "a\u00a0b", "\u200b", "Überlingen!"]
PAIRS = [["2+2=", "4"], ["Paris is", " the capital"], ["the answer is ", "42"], ["a\n", "b"], ["what", "ever"], ["x", "\n\ny"], ["café ", "語"]]


def train(kind, **options):
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_prefix=kind, model_type=kind, vocab_size=420 if kind == "bpe" else 90,
        character_coverage=1.0, minloglevel=2, num_threads=1, **options)
    (OUT / f"{kind}.vocab").unlink()
    return spm.SentencePieceProcessor(model_file=str(OUT / f"{kind}.model"))


def llama(bpe):
    pieces = [bpe.id_to_piece(i) for i in range(len(bpe))]
    normal = {p: i for i, p in enumerate(pieces) if not (bpe.is_control(i) or bpe.is_unknown(i) or bpe.is_byte(i))}
    merges = []
    for piece, i in normal.items():
        cuts = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in normal and piece[k:] in normal]
        merges += [(-bpe.get_score(i), -len(a), -len(b), a, b) for a, b in cuts]
    merges.sort()
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [(m[3], m[4]) for m in merges], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return tokenizer


def split(tokenizer, before, after):
    encoding = tokenizer.encode(before + after, add_special_tokens=False)
    seam = len(before)
    assert all(not a < seam < b for a, b in encoding.offsets), (before, after)
    return [[i for i, (a, _) in zip(encoding.ids, encoding.offsets) if (a < seam) == first] for first in (True, False)]


def main():
    OUT.mkdir(exist_ok=True)
    os.chdir(OUT)  # the models keep the paths that they were trained with
    bpe = train("bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
                allow_whitespace_only_pieces=True)
    rules = OUT / "rules.tsv"
    rules.write_text("FB01\t66 69\nBD\t31 2F 32\n65 301\tE9\nA0\t20\n")
    unigram = train("unigram", normalization_rule_tsv=rules.name, user_defined_symbols=["<mask>"])
    rules.unlink()
    types = [6 if bpe.is_byte(i) else 3 if bpe.is_control(i) else 2 if bpe.is_unknown(i) else 1 for i in range(len(bpe))]
    plain = [text for text in TEXTS if "s>" not in text]
    tokenizer = llama(bpe)
    golden = {
        "versions": {name: version(name) for name in ("sentencepiece", "tokenizers")}, "texts": plain,
        "bpe": {"ids": [bpe.encode(t) for t in plain], "pieces": [bpe.id_to_piece(i) for i in range(len(bpe))],
                "scores": [bpe.get_score(i) for i in range(len(bpe))], "types": types},
        "unigram": {"ids": [unigram.encode(t) for t in plain], "decoded": [unigram.decode(unigram.encode(t)) for t in plain]},
        "llama": {"tokenizer": json.loads(tokenizer.to_str()), "texts": TEXTS, "whole": [tokenizer.encode(t).ids for t in TEXTS],
                  "pairs": [{"texts": p, "ids": split(tokenizer, *p)} for p in PAIRS]},
    }
    (OUT / "spm.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    differ = [t for t, ids in zip(plain, golden["bpe"]["ids"]) if tokenizer.encode(t, add_special_tokens=False).ids != ids]
    print("SentencePiece and its tokenizer.json differ on", differ)


main()
