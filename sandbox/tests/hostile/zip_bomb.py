# A small file that unpacks to gigabytes, again and again.
import bz2, gzip, lzma, zlib
packed = zlib.compress(bytes(100 << 20), 9)
whole = []
while True:
    whole.append(zlib.decompress(packed))
