# Patterns whose compilation takes for ever.
import re
pattern = "a{1,1000}"
for _ in range(4):
    pattern = f"(?:{pattern}){{1,1000}}"
re.compile(pattern)
for size in (10 ** 4, 10 ** 5):
    re.compile("|".join("(" + chr(97 + i % 26) * (i % 7 + 1) + ")" for i in range(size)))
