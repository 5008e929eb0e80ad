"""Golden log-probabilities of SmolLM2-135M-Instruct by transformers, for `dunwu score`, and golden token ids for its tokenizer.

usage: python make_score_golden.py MODEL_DIR     writes smollm2_score.jsonl and smollm2_tokens.jsonl beside this script
MODEL_DIR is a Hugging Face directory that transformers saved from SmolLM2-135M-Instruct.Q4_1.gguf, in float32.
Needs: torch transformers. Made with torch 2.15.0 (CPU), transformers 5.23.0, tokenizers 0.23.3.

smollm2_score.jsonl: {"prompt", "completion", "token_ids", "logprobs"}. Raw text: no template, no special tokens added. Prompt
and completion are tokenised apart and joined. `token_ids` are the completion's, `logprobs` their natural log-probabilities
under a softmax over the whole vocabulary at temperature 1, in float32.

smollm2_tokens.jsonl: {"text", "token_ids"} and, where it differs, "transformers_token_ids".
The model was trained with digits split off before anything else (`tokenizer.ggml.pre` = `smollm` in the GGUF file). When
transformers reads a tokenizer out of a GGUF file it leaves that step out, so that white space before a digit comes out
differently: "\\n\\n1" is ["ĊĊ", "1"] to the model's own tokenizer and ["Ċ", "Ċ", "1"] to the directory that transformers
saves. `token_ids` are by the model's own rule, `transformers_token_ids` by that directory. No row of smollm2_score.jsonl
depends on it: the script checks that both rules give the same ids.
"""
import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"


def chat(user, system=SYSTEM):
    return f"{system}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


LONG = (
    "The old lighthouse stood at the end of the stone pier, and every evening the keeper climbed its narrow stairs to light "
    "the lamp. He had done so for thirty years, through storms that threw the sea against the windows and through nights so "
    "still that he could hear the fishermen talk in the harbour below. One autumn a young woman came to the village with a "
    "box of instruments and asked whether she might measure the light. She wanted to know how far it reached, how it changed "
    "with the weather, and why the ships' captains always said that it looked warmer than any other on the coast. The keeper "
    "laughed and told her that it was only oil and glass, but he let her set up her table beside the lens. Night after night "
    "she wrote down her numbers, and he began to tell her stories: about the winter when the bay froze, about the whale that "
    "had slept beneath the cliff, and about the letter which he had never sent. When spring arrived, she packed her box."
)

# (prompt, completion)
PAIRS = [
    # Chat form, as the template writes it.
    (chat("What is 3+4?"), "3 + 4 = 7<|im_end|>"),
    (chat("What is 3+4?"), "The answer is 8.<|im_end|>"),
    (chat("What is 57+38?"), "57 + 38 = 95<|im_end|>"),
    (chat("Think step by step. What is 8+5+9?"), "<think>8+5=13, 13+9=22</think>\n<answer>22</answer><|im_end|>"),
    (chat("Who wrote Hamlet?", "<|im_start|>system\nBe brief.<|im_end|>\n"), "William Shakespeare.<|im_end|>"),
    (
        chat("Hi!") + "Hello! How can I help you?<|im_end|>\n<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n",
        "Blue is a colour that many people like.<|im_end|>\n",
    ),
    # A completion that stops in the middle, and one that is only the end token.
    (chat("Write a poem about rain."), "In the quiet of the evening, the rain begins to fall,\nA soft and gentle"),
    (chat("Say nothing."), "<|im_end|>"),
    # Plain English.
    ("The capital of France is", " Paris, and the capital of Germany is Berlin."),
    ("Once upon a time", ", there was a little girl named Lily who lived in a small house near the forest."),
    ("The capital of France is", " Paris"),
    ("a", "b"),
    (" ", " leading space and  two  spaces   three"),
    # Unlikely text.
    ("The capital of France is", " qzxv wobble; purple carburettor!!"),
    # Code.
    ("def fibonacci(n):\n", "    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n"),
    ("```rust\nfn main() {\n", "    let total: u64 = (1..=10).map(|x| x * x).sum();\n    println!(\"{total}\");\n}\n```"),
    ('{"name": "dunwu", ', '"version": "0.1.0", "stages": ["sft", "grpo"]}'),
    # Digits and mathematics.
    ("3.14159265358979", "32384626433832795028841971"),
    ("Compute 12345+67890=", "80235"),
    ("So we get $\\frac{1}{2} + \\frac{1}{3} =", " \\boxed{\\frac{5}{6}}$."),
    # Unicode: accents, CJK, Cyrillic, emoji (one joined with a zero-width joiner), combining marks, right to left.
    ("Le café de l'été", ", où l'on déguste une crème brûlée à la façon de ma grand-mère"),
    ("顿悟的意思是", "突然明白。Привет, мир! שלום"),
    ("Emoji: ", "🙂👩‍🚀🇫🇷 e\u0301 ﬁ №\u00a0x"),
    # Line breaks and tabs; prompts that end in the middle of a word.
    ("a\tb\r\n", "c\t\td\n\n\n  e\r\nf"),
    ("The photosyn", "thesis of plants converts light into chemical energy"),
    # Long.
    (LONG[:42], LONG[42:]),
]

# Where digits meet white space, words and signs.
TEXTS = [
    "What is 12+345?", " 1 22  333   4444", "x=1\n2\n\n3\n\n\n4", "\t1\t\t2", "1st 2nd, 3.14e-10", "a1b22c333", "١٢٣ ４５ ²³ Ⅷ ½",
    "1. One\n\n2. Two\n  3. Three", "it's 5 o'clock, we've 10 and they'll 20", "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n",
    "<|endoftext|>  <|im_end|>1", "", " ", "\n", "naïve 日本語 🙂 привет", "  indented\n    code()\n",
]


def main():
    directory = Path(sys.argv[1])
    by_transformers = Tokenizer.from_file(str(directory / "tokenizer.json"))
    own = Tokenizer.from_file(str(directory / "tokenizer.json"))
    own.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])

    def ids(tokenizer, text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with open(HERE / "smollm2_score.jsonl", "w", encoding="utf-8") as out:
        for prompt, completion in PAIRS:
            left, right = ids(own, prompt), ids(own, completion)
            assert left == ids(by_transformers, prompt) and right == ids(by_transformers, completion), (prompt, completion)
            with torch.no_grad():
                logits = model(torch.tensor([left + right])).logits[0, len(left) - 1 : -1]
            logprobs = logits.float().log_softmax(-1).gather(1, torch.tensor(right)[:, None])[:, 0]
            row = {"prompt": prompt, "completion": completion, "token_ids": right,
                   "logprobs": [float(f"{value:.7g}") for value in logprobs.tolist()]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(len(left), len(right), f"{logprobs.sum().item():10.4f}", repr(completion[:60]), flush=True)

    with open(HERE / "smollm2_tokens.jsonl", "w", encoding="utf-8") as out:
        for text in TEXTS:
            row = {"text": text, "token_ids": ids(own, text)}
            if row["token_ids"] != ids(by_transformers, text):
                row["transformers_token_ids"] = ids(by_transformers, text)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(len(row["token_ids"]), "transformers_token_ids" in row, repr(text))


main()
