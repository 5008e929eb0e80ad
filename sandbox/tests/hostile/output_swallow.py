while True:
    try:
        print('a' * 10**6, flush=True)
    except BaseException:
        pass
