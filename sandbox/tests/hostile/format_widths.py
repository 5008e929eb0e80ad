# Format specifications as wide as memory.
for spec in ("{:>4000000000}", "{:.2000000000f}", "{:0>1000000000.1000000000}", "%.2147483647f", "%1000000000d"):
    try:
        print(len(spec.format(1.0)) if "{" in spec else len(spec % 1))
    except BaseException as error:
        print(type(error).__name__)
while True:
    try:
        "{:>300000000}".format("x")
    except MemoryError:
        pass
