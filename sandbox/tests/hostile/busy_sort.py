import random
while True:
    sorted(random.random() for _ in range(10**5))
