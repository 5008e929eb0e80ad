x = []
while True:
    x = [x, x]
