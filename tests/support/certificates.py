# SPDX-License-Identifier: MIT
"""An authority of a test's own, and certificates that it signs.

    tls = Certificates(folder)                              # a server's for 127.0.0.1 and localhost
    Node(path, "server", tls=tls)
    dispatcher --redis rediss://127.0.0.1:... --redis-ca-file tls.ca
    other = tls.sign("other", "DNS:elsewhere.example")      # (certificate, key)
"""
import pathlib
import subprocess


class Certificates:
    def __init__(self, folder, names="IP:127.0.0.1,DNS:localhost"):
        self.path = pathlib.Path(folder)
        self.path.mkdir(parents=True, exist_ok=True)
        self.ca, self.ca_key = self._make("ca", "basicConstraints=critical,CA:TRUE")
        self.certificate, self.key = self.sign("server", names)
        self.asks_clients = False

    def _make(self, name, extension, *options):
        certificate, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "1", "-subj", f"/CN={name}", "-addext", extension, "-keyout", str(key),
                        "-out", str(certificate), *map(str, options)], check=True, capture_output=True)
        return certificate, key

    def sign(self, name, names):
        return self._make(name, f"subjectAltName={names}", "-CA", self.ca, "-CAkey", self.ca_key)

    def server_options(self):
        return ["--tls-cert-file", self.certificate, "--tls-key-file", self.key, "--tls-ca-cert-file", self.ca,
                "--tls-auth-clients", "yes" if self.asks_clients else "no"]

    def cli_options(self):
        """Without a look at the certificate: some are wrong on purpose."""
        return ["--tls", "--insecure", "--cert", str(self.certificate), "--key", str(self.key)]
