# Looks up codecs for ever: each search asks for another.
import codecs, sys
sys.setrecursionlimit(1 << 30)
def search(name):
    return codecs.lookup(name + "x")
codecs.register(search)
"x".encode("nothing")
