#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smtp-password.py REGION: the password for SES' SMTP server that belongs to the secret access key on standard input.

https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html
"""
import base64
import hashlib
import hmac
import sys

if len(sys.argv) != 2:
    sys.exit("usage: smtp-password.py REGION < SECRET-ACCESS-KEY")
key = b"AWS4" + sys.stdin.readline().strip().encode()
if len(key) != 44:
    sys.exit("smtp-password.py: wanted the 40 characters of a secret access key on standard input")
for word in ("11111111", sys.argv[1], "ses", "aws4_request", "SendRawEmail"):
    key = hmac.new(key, word.encode(), hashlib.sha256).digest()
print(base64.b64encode(b"\4" + key).decode())
