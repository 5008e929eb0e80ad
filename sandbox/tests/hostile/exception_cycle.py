# Causes that go round in a circle, groups within groups, and notes without end.
a, b = ValueError("a"), ValueError("b")
a.__cause__, b.__cause__ = b, a
a.__context__ = a
group = ExceptionGroup("g", [a, b])
for _ in range(3000):
    group = ExceptionGroup("g", [group])
    group.add_note("n" * 1000)
raise group
