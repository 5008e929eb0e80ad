import os, sys
sys.stdin.read()
while True:
    os.read(0, 1 << 20)
