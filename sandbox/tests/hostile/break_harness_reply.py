import json
json.dumps = lambda *a, **k: 'no json'
