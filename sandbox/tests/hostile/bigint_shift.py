x = 1 << (1 << 40)
print(x)
