"""Idioms of chat templates that jinja2 and Python know, rendered by transformers.

usage: python make_idioms_golden.py     writes chat_idioms.json beside this script
Needs: transformers jinja2. Made with transformers 5.24.0, jinja2 3.1.6.

cases[]: {"template", "variables", "text"}: rendered with one user message, a generation prompt and the variables.
"""
import json
from importlib.metadata import version
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

MESSAGES = [{"role": "user", "content": "Don't say \"no\""}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}]
CASES = [
    ("one {{ 'line \\\n  and' }} the {{ \"next\\\n\" }}.", {}),
    ("{{ 'tab\\tquote\\'\\x41\\u00e9\\\\n' }} {{ \"\\a|\\v|\\/|\\U0001f600\" }}", {}),
    ("{{ '%s of %d' % (messages[0].role, 3) }} {{ '%s' % messages[0]['content'] }} {{ '%.2f|%5d|%-4s|' % (1.5, 42, 'ab') }} {{ 7 % 4 }}", {}),
    ("{{ messages }}", {}),
    ("{{ [1, 2.5, true, none, 'a\\'b', 'c\"d', 'e\\nf'] }} {{ {'a': [1], 'b': {}} }} {{ [] }} {{ {} }}", {}),
    ("{{ messages[0] | string }} {{ 'x' ~ [1, 'a'] | string }}", {}),
    ("{{ 'abcabc'.index('c') }} {{ 'abcabc'.rindex('c') }} {{ 'Straße'.index('ß') }} {{ [3, 5, 7].index(5) }}", {}),
    ("{{ 'unhappy'.removeprefix('un') }} {{ 'unhappy'.removeprefix('x') }} {{ 'a.txt'.removesuffix('.txt') }}", {}),
    ("{{ 'ab'.center(7, '*') }} {{ 'abc'.center(6, '*') }} {{ 'ab'.center(5, '*') }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ 'abc'.ljust(2) }}", {}),
    ("{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'Hello World'.swapcase() }} {{ 'ABC'.casefold() }}", {}),
    ("{{ 'a-b-c'.partition('-') | join('|') }} {{ 'a-b-c'.rpartition('-') | join('|') }} {{ 'abc'.partition('x') | join('|') }}", {}),
    ("{{ 'a b c'.rsplit(' ', 1) }} {{ 'a  b c'.rsplit() }} {{ 'a,b,c'.rsplit(',') }} {{ ' a b '.split() }} {{ 'a,b'.split(',', 1) }}", {}),
    ("{{ enable_thinking }} {{ date_string }} {{ enable_thinking is defined and enable_thinking is false }}",
     {"enable_thinking": False, "date_string": "26 Jul 2024"}),
    ("{% if enable_thinking is defined %}no{% else %}yes{% endif %} {{ tools is none }}", {}),
    ("{% for tool in tools %}{{ tool | tojson }}{% endfor %} {{ tools | length }} {{ tools[0].function.name }}", {"tools": TOOLS}),
    ("{{ bos_token }} {{ documents[0].text }}", {"bos_token": "<bos>", "documents": [{"text": "d"}]}),
    ("{% raw %}{{ 'a\\\nb' }}{% endraw %} {# '\\\n' #} {{ '}}' }} {{ '%}' }}", {}),
]


def main():
    cases = []
    for template, variables in CASES:
        [text], _ = render_jinja_template([MESSAGES], chat_template=template, add_generation_prompt=True,
                                          **({"tools": None} | variables))
        cases.append({"template": template, "variables": variables, "text": text})
        print(repr(text))
    golden = {"versions": {name: version(name) for name in ("transformers", "jinja2")}, "messages": MESSAGES, "cases": cases}
    (Path(__file__).parent / "chat_idioms.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


main()
