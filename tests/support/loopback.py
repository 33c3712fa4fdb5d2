# SPDX-License-Identifier: MIT
"""An HTTP server on a free port of loopback, for stand-ins of other people's services."""
import http.server
import threading


class LoopbackServer:
    def __init__(self, handler, **members):
        """`handler` answers; its class gets `members`."""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), members))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"
