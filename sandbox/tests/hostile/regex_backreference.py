# Back references and lookarounds that take for ever.
import re
print(re.match(r"^(?:(.*?)(?=\1)*)+$", "a" * 40 + "b"))
print(re.search(r"(x+x+)+y|(?:(?:x*)*)*z", "x" * 64))
