"""Golden renderings of chat templates by transformers.

usage: python make_chat_golden.py MODEL_DIR     writes chat_templates.json beside this script
MODEL_DIR is a Hugging Face directory that transformers saved from SmolLM2-135M-Instruct.Q4_1.gguf; only its tokenizer and
template are read. Needs: transformers jinja2. Made with transformers 5.23.0.

`templates` and `chats` are by name; cases[]: {"template", "chat", "add_generation_prompt", "text"}, or "error" (what the template
raised) in place of "text". `smollm2` is the model's own template. The others are written for this file and use what published
templates use: white space that `trim_blocks` and `lstrip_blocks` remove, loop controls, namespaces, Python's string methods,
`tojson`, `raise_exception` and a `generation` block.
"""
import json
import sys
from pathlib import Path

from jinja2 import TemplateError
from transformers import AutoTokenizer, __version__

HERE = Path(__file__).parent
USER = {"role": "user", "content": "What is 3+4?"}
BOT = {"role": "assistant", "content": "7"}
SYSTEM = {"role": "system", "content": "Be brief."}
TRICKY = {"role": "user", "content": "  <b>\"naïve\"</b> & 'quotes'\n\n日本 🙂 {{ not a template }} {% nor this %}\n"}
THOUGHT = {"role": "assistant", "content": "<think>\n3+4\n</think>\n\n7"}

TEMPLATES = {
    "white_space": """{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {{- '<user>' + message['content'] }}
    {%- else %}
        {{- '<' ~ message.role ~ '>' ~ message.content }}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
    <assistant>
{% endif %}
    end {# a comment #}
    {% if true %}x{% endif %}

y
""",
    "bos_and_eos": "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] | trim }}{{ eos_token }}{% endfor %}"
                   "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "raise": "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
             "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
             "{{ m['content'] }};{% endfor %}",
    "python_methods": "{% for m in messages %}{% set c = m.content %}{% if '</think>' in c %}"
                      "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ loop.index }}{{ m.role.title() }}|{{ c.strip() }}|"
                      "{{ c.startswith('  ') }}|{{ c[:3] }}|{{ c | length }}|{{ m.get('name', 'nobody') }}|{{ c.replace('7', 'seven') }}\n"
                      "{% endfor %}{{ messages[::-1][0].role }} {{ messages[-1]['content'].endswith('?') }} {{ none is none }} {{ 'x' is string }}",
    "tojson": "{{ messages | tojson }}\n{{ messages[0] | tojson(indent=2) }}",
    "namespace_and_loops": "{% set ns = namespace(seen=false, n=0) %}{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
                           "{% set ns.n = ns.n + 1 %}{% set ns.seen = true %}{{ ns.n }}{{ m.role[0] }}{{ ',' if not loop.last else '.' }}"
                           "{% if ns.n == 2 %}{% break %}{% endif %}{% endfor %} {{ ns.seen }} {{ ns.n }} {{ tools is defined and tools is not none }}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}[{{ m.content }}]"
                  "{% endif %}{% endfor %}",
    "macro": "{% macro turn(m, last=false) %}<|{{ m.role }}|>{{ m.content }}{% if not last %}<|end|>{% endif %}{% endmacro %}"
             "{% for m in messages %}{{ turn(m, loop.last and not add_generation_prompt) }}{% endfor %}"
             "{{ '<|assistant|>' if add_generation_prompt else '' }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
             "{{ messages | map(attribute='role') | join('/') }}",
}
CHATS = {
    "user": [USER], "system": [SYSTEM, USER], "turns": [USER, BOT, USER], "tricky": [TRICKY, BOT, USER], "thought": [USER, THOUGHT, USER],
}


def main():
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    templates, rows = {"smollm2": tokenizer.chat_template, **TEMPLATES}, []
    for name, template in templates.items():
        for chat, messages in CHATS.items():
            for prompt in (True, False) if "add_generation_prompt" in template else (False,):
                row = {"template": name, "chat": chat, "add_generation_prompt": prompt}
                try:
                    row["text"] = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False,
                                                                add_generation_prompt=prompt)
                except TemplateError as error:
                    row["error"] = str(error)
                rows.append(row)

    def dump(value):
        return json.dumps(value, ensure_ascii=False)

    def lines(values):
        return ",\n".join(f"{dump(key)}: {dump(value)}" for key, value in values.items())

    with open(HERE / "chat_templates.json", "w", encoding="utf-8") as out:
        out.write(f'{{"transformers_version": "{__version__}", "bos_token": {dump(tokenizer.bos_token)}, '
                  f'"eos_token": {dump(tokenizer.eos_token)},\n"templates": {{\n{lines(templates)}\n}},\n'
                  f'"chats": {{\n{lines(CHATS)}\n}},\n"cases": [\n' + ",\n".join(map(dump, rows)) + "\n]}\n")
    json.loads((HERE / "chat_templates.json").read_text(encoding="utf-8"))
    print(len(rows), "cases,", sum("error" in row for row in rows), "of them errors")


main()
