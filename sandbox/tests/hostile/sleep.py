import time
time.sleep(10**6)
while True:
    time.sleep(1000)
