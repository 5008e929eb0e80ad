import time
end = time.time() + 10**9
while time.time() < end:
    pass
