import socket
print(socket.getaddrinfo('localhost', 80))
