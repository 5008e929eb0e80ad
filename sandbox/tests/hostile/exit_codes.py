# Ends of every kind.
import os, sys
for act in (lambda: sys.exit(1 << 70), lambda: sys.exit([]), lambda: exit(None)):
    try:
        act()
    except BaseException as error:
        print(type(error).__name__)
os._exit(1 << 40)
