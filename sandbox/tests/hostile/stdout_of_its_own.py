# An output that lies, never ends to flush, and has no attributes.
import sys
class Out:
    def write(self, text):
        return 1 << 62
    def flush(self):
        while True:
            pass
    def __getattr__(self, name):
        raise SystemExit(0)
sys.stdout = sys.stderr = Out()
print("x")
