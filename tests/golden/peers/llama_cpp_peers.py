"""GGUF files that dunwu exports, in llama.cpp: loaded, their tokenizer and chat template compared, log-probabilities compared.

usage: python tests/golden/peers/llama_cpp_peers.py target/release/dunwu [SmolLM2.gguf] > rl/results/peers-llama-cpp.md
Needs: torch transformers gguf xllamacpp (llama.cpp in a wheel). Run from the repository's root; SmolLM2 takes ten minutes of it, for its 49152 probabilities a token.

Each model is trained by one step of dunwu and exported in each type. Of each file
- gguf-py reads every tensor, finds every key that convert_hf_to_gguf.py would write, and decodes values as they were;
- llama.cpp (CPU, f32 cache, no flash attention) gives ids of TEXTS, the rendered chat, and the log-probability of every
  token of two completions, each from a prompt of ids of its own;
- transformers' tokenizer on the exported Hugging Face directory says which ids and which rendering are right;
- `dunwu score` on the same file gives the log-probabilities that they are compared with.
llama.cpp multiplies F16, BF16 and Q8_0 matrices by activations rounded to that type, dunwu in f32: so F32 files must agree to 1e-3,
and the others are as far apart as that rounding. Exits 1 where an F32 file, a tokenizer or a template differs.
"""
import json
import math
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import torch
import xllamacpp
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
DUNWU = str(Path(sys.argv[1]).resolve())
BAR = 1e-3
TYPES = ["f32", "f16", "bf16", "q8_0"]
TEXTS = ["", "Hello", " Hello", "2+2=4", "12345678", "a\n\nb", "\t x", "it's IT'S we'll", "naïve café, déjà vu", "日本語 Привет", "🙂 x",
         "  two  spaces  ", "def f(a):\n    return a", "<|im_start|>user\nhi<|im_end|>", "a<|im_end|>b", "x" * 40, "a\r\nb", "٣٤٥", "e\u0301"]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3+3?"}]
SCORED = [("The answer is", " 42, not 41.\nIt's simple"), ("one two three", " four five 123 six")]
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
SIZES = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, initializer_range=0.2)
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
TINY = {
    "llama, tied, llama3's words": (LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)), LLAMA3),
    "llama, llama3 rope scaling": (LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters={"rope_theta": 5e5, **LLAMA3_ROPE})), LLAMA3),
    "qwen2, biases": (Qwen2ForCausalLM(Qwen2Config(**SIZES)), QWEN2),
    "qwen3, norms of heads": (Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=True)), QWEN2),
    "llama, SentencePiece": (LlamaForCausalLM(LlamaConfig(**SIZES)), None),
}  # fmt: skip
LLAMA2_TEMPLATE = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
                   "{% else %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endif %}{% endfor %}")
KEYS = ["general.architecture", "general.type", "general.name", "general.file_type", "general.quantization_version", "{a}.block_count",
        "{a}.context_length", "{a}.embedding_length", "{a}.feed_forward_length", "{a}.attention.head_count", "{a}.attention.head_count_kv",
        "{a}.attention.layer_norm_rms_epsilon", "{a}.attention.key_length", "{a}.attention.value_length", "{a}.rope.freq_base",
        "{a}.vocab_size", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token"]


def call(*words, text=None):
    done = subprocess.run([DUNWU, *map(str, words)], input=text, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-600:]}")
    return done.stdout


def tokenizer(words):
    """Byte-level BPE trained on a few sentences, or the Llama 2 form of tests/golden/spm."""
    if words is None:
        golden = json.loads(Path("tests/golden/spm/spm.json").read_text())["llama"]["tokenizer"]
        return Tokenizer.from_str(golden if isinstance(golden, str) else json.dumps(golden))
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(words), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator([t + " " + c for t, c in SCORED] + TEXTS, trainer)
    return made


def write_tiny(path, model, words):
    model.save_pretrained(path)
    made = tokenizer(words)
    made.save(str(path / "tokenizer.json"))
    if words is None:
        config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": LLAMA2_TEMPLATE}
    else:
        config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **config}))


def exports(path, model):
    """The exports of a run of one step on `model`: the Hugging Face directory, and files by type."""
    rows = [{"prompt": prompt, "completion": completion} for prompt, completion in SCORED]
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "run.toml").write_text(
        f'name = "peer"\nseed = 1\ndevice = "flex"\n[model]\nsource = "pretrained"\npath = {json.dumps(str(model))}\n[lora]\nrank = 4\n'
        '[[stages]]\nkind = "sft"\nsteps = 1\nbatch = 2\nfile = "rows.jsonl"\nlearning_rate = 1e-3\n'
    )
    call("train", path / "run.toml", "--run-dir", path / "run", "--no-preflight", "--quiet")
    call("export", "--run", path / "run", "--to", path / "hf")
    for kind in TYPES:
        call("export", "--run", path / "run", "--to", path / f"{kind}.gguf", "--gguf", kind)
        yield kind, path / f"{kind}.gguf"


def characters(path):
    """The quickstart's model of characters, from scratch."""
    call("train", "configs/quickstart.toml", "--run-dir", path / "run", "--no-preflight", "--quiet", "--set", "device=flex",
         "--set", "stages.sft.steps=2", "--set", "stages.grpo.steps=1", "--set", "evaluation.problems=2")  # fmt: skip
    call("export", "--run", path / "run", "--to", path / "hf")
    for kind in TYPES:
        call("export", "--run", path / "run", "--to", path / f"{kind}.gguf", "--gguf", kind)
        yield kind, path / f"{kind}.gguf"


class Llama:
    """llama.cpp with a file, asked over its server."""

    def __init__(self, path):
        asked = xllamacpp.CommonParams()
        asked.model.path = str(path)
        asked.n_ctx, asked.n_parallel, asked.warmup, asked.n_gpu_layers, asked.use_jinja = 96, 1, False, 0, True
        asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        asked.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        asked.fit_params, asked.verbosity = False, 1
        self.server = xllamacpp.Server(asked)
        self.one = self.ids("1")[-1]

    def post(self, path, **body):
        request = urllib.request.Request(self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            return json.load(urllib.request.urlopen(request))
        except urllib.error.HTTPError as error:
            raise SystemExit(f"llama.cpp, {path}: {error.read().decode()[:400]}")

    def ids(self, text):
        return self.post("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def logprob(self, before, token):
        # The end, or half a character, would be drawn without its probabilities, so "1" is drawn; what is reported is before that bias.
        asked = dict(prompt=before, n_predict=1, n_probs=200_000, temperature=1.0, samplers=[], cache_prompt=False, logit_bias=[[self.one, 1000]])
        top = self.post("/completion", **asked)["completion_probabilities"][0]["top_logprobs"]
        assert abs(sum(math.exp(entry["logprob"]) for entry in top) - 1) < 1e-3, "not of all tokens"
        return next(entry["logprob"] for entry in top if entry["id"] == token)


def read_by_gguf_py(path, f32):
    """What gguf-py misses, and the largest error of a value, relative to the largest value of its tensor."""
    reader, exact = gguf.GGUFReader(path), {t.name: t for t in gguf.GGUFReader(f32).tensors}
    arch = reader.fields["general.architecture"].contents()
    missing = [key.format(a=arch) for key in KEYS if key.format(a=arch) not in reader.fields]
    worst = 0.0
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(-1)
        true = gguf.dequantize(exact[tensor.name].data, exact[tensor.name].tensor_type).reshape(-1)
        worst = max(worst, float(np.abs(values - true).max() / (np.abs(true).max() + 1e-30)))
    return missing, worst


def scored(model, pairs):
    rows = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    out = call("score", "--model", model, "--device", "flex", text="".join(json.dumps(row) + "\n" for row in rows))
    return [json.loads(line) for line in out.splitlines()]


def compare(kind, path, directory, texts, pairs):
    theirs = PreTrainedTokenizerFast.from_pretrained(directory)
    missing, worst = read_by_gguf_py(path, path.with_name("f32.gguf"))
    llama = Llama(path)
    other = [text for text in texts if llama.ids(text) != theirs(text)["input_ids"]]
    chat = "none"
    if theirs.chat_template:
        # llama.cpp takes BOS off the text, and puts it before the ids again.
        right = theirs.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
        found = llama.ids(llama.post("/apply-template", messages=CHAT)["prompt"])
        chat = "same" if right == found else f"**{found!r}, not {right!r}**"
    apart = []
    for (prompt, completion), line in zip(pairs, scored(path, pairs)):
        ids = theirs(prompt)["input_ids"]
        for i, (token, ours) in enumerate(zip(line["token_ids"], line["logprobs"])):
            apart.append(abs(ours - llama.logprob(ids + line["token_ids"][:i], token)))
    good = not missing and not other and not chat.startswith("**") and (kind != "f32" or max(apart) <= BAR)
    words = f"{len(texts) - len(other)} of {len(texts)}" + (f" (not {other})" if other else "")
    return good, f"{worst:.1e}" + (f", lacks {', '.join(missing)}" if missing else ""), words, chat, f"{max(apart):.1e} ({len(apart)} tokens)"


def cases(path):
    torch.manual_seed(0)
    for number, (name, (model, words)) in enumerate(TINY.items()):
        directory = path / f"tiny{number}"
        directory.mkdir()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1) if parameter.dim() == 2 else torch.nn.init.uniform_(parameter, 0.5, 1.5)
        write_tiny(directory / "base", model, words)
        texts = TEXTS if words else [t for t in TEXTS if "<|" not in t] + ["the</s>answer"]
        yield name, directory, exports(directory, directory / "base"), texts, SCORED
    directory = path / "characters"
    directory.mkdir()
    sums = ["1+2=3", "12+34+5=", "1+2=3,3+4=7"]
    yield "qwen3 of characters, from scratch", directory, characters(directory), sums, [("1+2=", "3,3+4=7")]
    if len(sys.argv) > 2:
        directory = path / "smollm2"
        directory.mkdir()
        yield "SmolLM2-135M-Instruct", directory, exports(directory, Path(sys.argv[2]).resolve()), TEXTS, SCORED


def main():
    print("# Exported GGUF files in llama.cpp\n")
    print("Written by `tests/golden/peers/llama_cpp_peers.py`, whose head says what is compared.")
    packages = ("torch", "transformers", "gguf", "xllamacpp")
    print("Versions:", ", ".join(f"{p} {version(p)}" for p in packages) + ".\n")
    print("| model | type | gguf-py: values differ at most by, of the largest | texts with the same ids | chat | log-probabilities differ at most by, nats |")
    print("|---|---|---|---|---|---|")
    every = True
    with tempfile.TemporaryDirectory() as directory:
        for name, place, files, texts, pairs in cases(Path(directory)):
            for kind, file in files:
                good, *row = compare(kind, file, place / "hf", texts, pairs)
                every &= good
                print(f"| {name} | {kind} | {' | '.join(row)} |{'' if good else ' **no**'}", flush=True)
    sys.exit(0 if every else 1)


main()
