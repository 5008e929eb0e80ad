def g(n):
    yield n
    yield from g(n + 1)
for _ in g(0):
    pass
