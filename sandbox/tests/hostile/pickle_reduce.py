# A pickle that executes, and one whose text doubles at every step.
import pickle
class Run:
    def __reduce__(self):
        return (exec, ("import os; os.system('touch /tmp/dunwu-was-here'); open('/tmp/dunwu-was-here', 'w')",))
try:
    pickle.loads(pickle.dumps(Run()))
except BaseException as error:
    print(type(error).__name__)
data = b"]q\x00" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)) + b"."
try:
    print(len(repr(pickle.loads(data))))
except BaseException as error:
    print(type(error).__name__)
