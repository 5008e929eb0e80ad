import itertools
for i in itertools.count():
    i * i
