# SPDX-License-Identifier: MIT
"""A TCP gateway in front of a server, to take that server away and bring it back.

    with Gateway("127.0.0.1", 9000) as gateway:
        ... gateway.port ...
        gateway.close_down()     # refuses new connections and breaks those that are open
        gateway.open_up()        # on the same port
"""
import socket
import threading


class Gateway:
    def __init__(self, host, port):
        self.target = (host, port)
        self.port = 0
        self.listener = None
        self.open_sockets = set()
        self.lock = threading.Lock()
        self.open_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close_down()

    def open_up(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close_down(self):
        # shutdown() wakes the thread that waits in accept(); close() alone would not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for one in self.open_sockets:
                one.shutdown(socket.SHUT_RDWR)
            self.open_sockets.clear()

    def _accept(self, listener):
        while True:
            try:
                client = listener.accept()[0]
                server = socket.create_connection(self.target)
            except OSError:
                return
            with self.lock:
                self.open_sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        with self.lock:
            for one in {source, sink} & self.open_sockets:
                self.open_sockets.discard(one)
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
