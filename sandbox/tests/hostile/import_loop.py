import sys
while True:
    sys.modules.pop('json', None)
    try:
        import json
    except ImportError:
        pass
