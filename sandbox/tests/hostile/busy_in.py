print(10**13 in iter(range(10**14)))
