import hashlib
a = bytes(1 << 26)
while True:
    hashlib.sha512(a).digest()
