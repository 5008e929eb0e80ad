# Comparisons and keys that never answer, in everything that sorts.
import bisect, heapq
class Never:
    def __lt__(self, other):
        while True:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                continue
heapq.heappush([Never()], Never())
