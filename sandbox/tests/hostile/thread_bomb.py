import threading
while True:
    threading.Thread(target=lambda: None).start()
