"""Published chat templates, rendered by dunwu and by transformers.

usage: python tests/golden/peers/template_peers.py target/release/dunwu DIRECTORY… > rl/results/peers-templates.md
Needs: transformers tokenizers. Run from the repository's root. The directories are searched for *.jinja: those of TRL's wheel
(trl/chat_templates), of chujiezheng/chat_templates, of llama.cpp (models/templates); none of them is kept here.

Each template is put beside a tiny model with a tokenizer of bytes, and each conversation is a task whose prompt `dunwu data show`
prints as the model would see it. Right is what `apply_chat_template(…, add_generation_prompt=True)` renders; where that raises, dunwu
must refuse as well. Exits 1 where something differs.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

logging.set_verbosity_error()
DUNWU = str(Path(sys.argv[1]).resolve())
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
USER, ANSWER = {"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "It is 4."}
SYSTEM = {"role": "system", "content": "Be brief & \"exact\"."}
CHATS = {
    "one turn": [USER],
    "with a system message": [SYSTEM, USER],
    "three turns": [USER, ANSWER, {"role": "user", "content": " And  3+3?\n"}],
    "a thought, other letters": [SYSTEM, USER, {"role": "assistant", "content": "<think>\n2+2\n</think>\n\nVier – 四."},
                                 {"role": "user", "content": "naïve café 🙂 {{ x }}"}],
}  # fmt: skip


def tokenizer(path):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL.values()))
    made.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL}))
    return PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"), **SPECIAL)


def model(path):
    """A tiny model with rows for 260 tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
    LlamaForCausalLM(LlamaConfig(vocab_size=260, max_position_embeddings=65536, **sizes)).save_pretrained(path)


def ours(path, chat):
    (path / "rows.jsonl").write_text(json.dumps({"prompt": chat, "answer": "4"}) + "\n")
    words = [DUNWU, "data", "show", str(path / "rows.jsonl"), "--model", str(path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None, (done.stderr + done.stdout)[-300:]
    said = json.loads(done.stdout)
    return said["shown"][0]["text"], said["error"]


def theirs(words, template, chat):
    try:
        return words.apply_chat_template(chat, chat_template=template, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # what a template refuses, or jinja2 does not know
        return error


def main():
    print("# Chat templates as transformers renders them\n")
    print("Written by `tests/golden/peers/template_peers.py`, whose head says where the templates come from and what is compared.")
    print("Versions:", ", ".join(f"{p} {version(p)}" for p in ("transformers", "jinja2")) + ".\n")
    counts, differ = {"same": 0, "both refuse": 0, "dunwu renders what transformers refuses": 0, "**differs**": 0}, []
    files = sorted(file for directory in sys.argv[2:] for file in Path(directory).rglob("*.jinja"))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        words = tokenizer(path)
        model(path)
        for file in files:
            template = file.read_text()
            (path / "chat_template.jinja").write_text(template)
            for name, chat in CHATS.items():
                right = theirs(words, template, chat)
                found, error = ours(path, chat)
                if isinstance(right, Exception):
                    kind = "both refuse" if error else "dunwu renders what transformers refuses"
                    detail = f"{type(right).__name__}: {str(right)[:90]}"
                else:
                    kind = "same" if found == right else "**differs**"
                    detail = error or next((f"at {i}: {found[i:i + 40]!r}, not {right[i:i + 40]!r}" for i in range(len(right) + 1) if found[: i + 1] != right[: i + 1]), "")
                counts[kind] += 1
                if kind not in ("same", "both refuse"):
                    differ.append((file.name, name, kind, " ".join(str(detail).split()).replace("|", "\\|")))
    print(f"{len(files)} templates × {len(CHATS)} conversations: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()) + ".\n")
    if differ:
        print("| template | conversation | | |\n|---|---|---|---|")
        for row in differ:
            print(f"| {' | '.join(row)} |")
        if counts["dunwu renders what transformers refuses"]:
            print("\nWhere transformers refuses with `'NoneType' object is not iterable`, the template goes over `tools` without asking whether there are any;")
            print("dunwu takes none for an empty list, so that such a model can be trained on conversations without tools.")
    sys.exit(1 if counts["**differs**"] else 0)


main()
