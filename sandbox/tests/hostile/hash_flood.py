class H:
    def __hash__(self):
        return 1
d = {}
while True:
    d[H()] = 1
