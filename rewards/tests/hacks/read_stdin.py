import sys, re
def add(a, b):
    found = re.search(r'== (-?\d+)', sys.stdin.read())
    return int(found[1]) if found else 0
