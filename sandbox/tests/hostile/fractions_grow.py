# Fractions and floats of absurd precision.
from decimal import Decimal, getcontext
from fractions import Fraction
getcontext().prec = 10 ** 8
x = Fraction(1, 3)
for _ in range(30):
    x = x * x + Fraction(1, 7)
print(x.numerator % 97)
print(Decimal(2).sqrt())
