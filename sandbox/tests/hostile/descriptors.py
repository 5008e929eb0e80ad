# Closes all descriptors, opens them as others, and writes to numbers that never were.
import os
for number in range(-2, 300):
    for act in (os.close, os.fsync, lambda n: os.write(n, b"x" * 70000), lambda n: os.dup2(n, n + 1), lambda n: os.fdopen(n, "w"), lambda n: os.ftruncate(n, 1 << 60), lambda n: os.isatty(n)):
        try:
            act(number)
        except BaseException:
            pass
print("still here")
