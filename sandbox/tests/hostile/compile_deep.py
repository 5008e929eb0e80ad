# Sources that no compiler likes: deep brackets, deep attributes, long chains, many names.
import ast
for source in ("(" * 100000 + ")" * 100000, "x" + ".x" * 200000, "-" * 300000 + "1", "lambda: " * 50000 + "1", "[" * 5000 + "]" * 5000, "f(" * 90000, "1" + "+1" * 500000, "if x:\n " + "x;" * 500000):
    for act in (ast.parse, lambda s: compile(s, "x", "exec"), eval):
        try:
            act(source)
        except BaseException as error:
            print(type(error).__name__)
