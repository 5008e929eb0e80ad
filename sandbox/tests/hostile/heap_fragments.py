# Memory in pieces of every size, freed in the worst order.
import random
random.seed(1)
keep = {}
step = 0
while True:
    keep[random.randrange(100000)] = bytes(random.randrange(1, 60000))
    step += 1
