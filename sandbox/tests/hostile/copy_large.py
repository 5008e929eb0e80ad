a = bytearray(1 << 26)
b = bytes(1 << 26)
while True:
    a[:] = b
