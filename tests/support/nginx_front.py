# SPDX-License-Identifier: MIT
"""deploy/nginx as it is shipped, with other addresses, ports and paths in it.

    configuration = write(folder, certificates, "127.0.0.1", plain=8080, secure=8443,
                          dispatchers=["127.0.0.1:1234", "127.0.0.1:1235"])
    [NGINX, "-p", folder, "-c", configuration, "-e", "stderr"]
"""
import os
import shutil
import socket

from darkroom import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
FILES = ROOT / "deploy" / "nginx"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def change(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def write(folder, tls, host, plain, secure, dispatchers, patience_s=15):
    """The path of a whole nginx.conf, for two dispatchers. patience_s: how long one may say nothing. Without tls
    `secure` speaks HTTP, for clients that know no more."""
    text = change(
        (FILES / "darkroom.conf").read_text(),
        ("listen 80;", f"listen {host}:{plain};"), ("    listen [::]:80;\n", ""),
        ("listen 443 ssl http2;", f"listen {host}:{secure}{' ssl http2' if tls else ''};"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("proxy_read_timeout 15s;", f"proxy_read_timeout {patience_s}s;"))
    if tls:
        text = change(text, ("/etc/darkroom/tls/certificate.pem", str(tls.certificate)),
                      ("/etc/darkroom/tls/key.pem", str(tls.key)))
    else:
        text = "\n".join(line for line in text.split("\n") if not line.strip().startswith("ssl_"))
    (folder / "darkroom.conf").write_text(text)
    (folder / "upstream.conf").write_text(change(
        (FILES / "upstream.conf").read_text(), *zip(("127.0.0.1:8080", "127.0.0.1:8081"), dispatchers)))
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(
        f"{user}daemon off;\nmaster_process on;\nworker_processes 1;\npid {folder}/pid;\n"
        f"error_log stderr warn;\nevents {{ }}\nhttp {{\naccess_log off;\n{temporary}"
        f"include {folder}/upstream.conf;\ninclude {folder}/darkroom.conf;\n}}\n")
    return path
