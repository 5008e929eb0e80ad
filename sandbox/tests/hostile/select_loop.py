import select, sys
while True:
    print(select.select([sys.stdin], [], [], 1e6))
