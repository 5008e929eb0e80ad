def add(a, b):
    return lambda *_: True
