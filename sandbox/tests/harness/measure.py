"""What the harness says of the solutions in JSON-lines files, under the Python of the host: a quick look before the sandbox has its say
(`rewards/tests/code_reports.rs`, which also reads completions and outputs as the judge does).

usage: python3 measure.py FILE...

A line has `completion` with a block of Python, and `test_list`, `test` with or without `entry_point`, or `verification_info`.
"""

import json
import re
import sys

import two_sides


def program(completion):
    blocks = re.findall(r"```(?:python)?[^\n]*\n(.*?)```", completion, re.S)
    return blocks[-1] if blocks else completion


def cases(row):
    """The tests of a row, as arguments of `two_sides.judge`; those of programs as pairs of texts."""
    if row.get("verification_info"):
        info = row["verification_info"]
        for case in (json.loads(info) if isinstance(info, str) else info)["test_cases"]:
            if case["type"] == "stdin_stdout":
                yield case["input"], case["output"]
                continue
            given, wanted = (value if isinstance(value, str) else json.dumps(value) for value in (case["input"], case["output"]))
            given = given if given.lstrip().startswith("[") else f"[{','.join(given.splitlines())}]"
            test = f"assert any(__same_answer__(candidate(*json.loads({given!r})), w) for w in (lambda w: [w, *w[:1]] if type(w) is list and len(w) == 1 else [w])(json.loads({wanted!r})))"
            yield {"test": test, "setup": "import json", "entry_point": case["fn_name"]}
    elif row.get("test"):
        check = "\ncheck(candidate)\n" if row.get("entry_point") and "check" in row["test"] else ""
        yield {"test": row["test"] + check, "entry_point": row.get("entry_point"), "prompt": row.get("prompt")}
    else:
        for test in row["test_list"]:
            yield {"test": test, "setup": row.get("test_setup_code") or ""}


def verdict(row):
    solution = program(row["completion"])
    for case in cases(row):
        if isinstance(case, tuple):
            ended = two_sides.run(solution, case[0])
            found = {"verdict": "passed" if ended["stdout"].split() == case[1].split() else "failed"}
        else:
            found = two_sides.judge(solution, **case)
        if found["verdict"] != "passed":
            return found
    return {"verdict": "passed"}


for file in sys.argv[1:]:
    passed = count = 0
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            row = row.get("row", row)
            found = verdict(row)
            count += 1
            passed += found["verdict"] == "passed"
            if found["verdict"] != "passed":
                print(row["id"], found)
    print(f"{file}: {passed} of {count}")
