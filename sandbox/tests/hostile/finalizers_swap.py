# Objects whose end replaces the outputs and never ends.
import sys
class Last:
    def __del__(self):
        sys.stdout = self
        while True:
            try:
                [0] * (1 << 28)
            except BaseException:
                pass
keep = [Last() for _ in range(100)]
keep.append(keep)
