"""A small byte-level BPE vocabulary under each word-splitting rule, with token ids by the tokenizers package.

usage: python make_tokenizer_golden.py     writes bpe_tokenizers.json beside this script
Needs: tokenizers. Made with tokenizers 0.23.3.

tokens, merges, token_type: as GGUF metadata hold them (type 3 is a control token, 4 a user-defined one). texts[]; ids[rule][i] are
the ids of texts[i], where `rule` is the value of `tokenizer.ggml.pre`. The pipelines below are those of the tokenizer.json of
GPT-2, SmolLM2, Llama 3 and Qwen2.5.
"""
import json
from importlib.metadata import version
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SHORT}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SHORT}|\p{{N}}{{1,3}}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_V3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(expression):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), byte_level(False)])


def steps(*expressions, last=()):
    cut = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in expressions]
    return pre_tokenizers.Sequence(cut + list(last) + [byte_level(False)])


# rule: (pre-tokenizer, normalizer, whether words that are tokens skip the merges)
RULES = {
    "gpt-2": (byte_level(True), None, False),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), None, False),
    "llama-bpe": (split(LLAMA3), None, True),
    "qwen2": (split(QWEN2), normalizers.NFC(), False),
    "qwen35": (split(QWEN35), normalizers.NFC(), False),
    "tekken": (split(TEKKEN), None, True),
    "gpt-4o": (split(GPT4O), None, False),
    "smaug-bpe": (split(LLAMA3), None, False),
    "deepseek-v3": (steps(r"\p{N}{1,3}", r"[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK_V3), None, False),
    "deepseek-coder": (steps(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥\u0800-一가-\ud7ff]+",
                             last=[pre_tokenizers.Digits(individual_digits=True)]), None, False),
    "falcon": (pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(True),
                                        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]), None, False),
}
# Training on these makes merges across every boundary that the rules treat differently.
CORPUS = ["  12 + 345 = 357\n\n  return x;\n", "I'm WE'LL it's 'tis don't", "\t\tif (a == b) {\r\n\t}\r\n", "12 345 6789 1000 2024",
          "naïve café nai\u0308ve", "日本語 テキスト", "   spaces    and\n\n\nlines  \n", "!!!??? ... ,;: -- == ->", "the answer is <b>7</b>"] * 4
TEXTS = [
    "", " ", "  12", "   345 ", "1 2  3   4", "12+345=357", "6789 10002024", "I'M we'll IT'S don’t 'tis", "x\n\n\ny", "  \n\n  return x;",
    "if (a == b) {\r\n\t\t}\r\n", "naïve nai\u0308ve e\u0301", "日本語のテキスト", "🙂 👩‍👩‍👧", "½ ² ٣٤", "!!!???...", "a\u00a0b\u2003c", "\u200b\ufeff",
    "<|end|>", "a<|end|>b <think>7</think>", "<|end", "  <|end|>  ", "spaces    and\tthe  answer", "==  ==\n ==", "the answer is <b>7</b>  \n",
]
CONTROL, USER_DEFINED = ["<|end|>", "<|pad|>"], ["<think>", "</think>"]


def main():
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[^\n]+\n*|\n+"), "isolated"), byte_level(False)])
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=560, special_tokens=CONTROL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocabulary = model["vocab"] | {token: len(model["vocab"]) + i for i, token in enumerate(USER_DEFINED)}
    tokens = sorted(vocabulary, key=vocabulary.get)
    merges = [tuple(merge) for merge in model["merges"]]
    ids = {}
    for rule, (pre, normalizer, ignore_merges) in RULES.items():
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=ignore_merges))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL])
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in USER_DEFINED])
        ids[rule] = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    types = [3 if token in CONTROL else 4 if token in USER_DEFINED else 1 for token in tokens]
    golden = {"tokenizers_version": version("tokenizers"), "tokens": tokens, "merges": [" ".join(merge) for merge in merges],
              "token_type": types, "texts": TEXTS, "ids": ids}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in golden.items())
    (HERE / "bpe_tokenizers.json").write_text("{" + lines + "}\n", encoding="utf-8")
    for i, text in enumerate(TEXTS):
        print(len({str(ids[rule][i]) for rule in RULES}), "different:", repr(text))


main()
