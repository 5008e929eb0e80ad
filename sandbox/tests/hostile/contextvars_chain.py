# A chain of contexts and of exceptions that is walked for ever.
error = None
for _ in range(200000):
    try:
        raise ValueError(_) from error
    except ValueError as caught:
        error = caught
raise error
