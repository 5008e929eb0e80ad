def add(a, b):
    return 'x' * (64 << 20)
