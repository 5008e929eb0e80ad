x = bytearray(8 * 10**9)
