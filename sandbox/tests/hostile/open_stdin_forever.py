# Reads what is not there: lines, bytes, input, and files made of descriptors.
import os, sys
while True:
    try:
        input()
    except EOFError:
        pass
    sys.stdin.read()
    sys.stdin.buffer.readlines()
    open(0, closefd=False).read()
