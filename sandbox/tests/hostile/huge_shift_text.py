# Integers whose text takes for ever, and powers that never fit.
import sys
sys.set_int_max_str_digits(0)
a = (1 << (1 << 28)) - 1
print(len(str(a)))
print(len(f"{a:,}"))
print(pow(3, 10 ** 9) % 7)
