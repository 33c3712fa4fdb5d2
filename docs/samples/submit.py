#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""submit.py PICTURE RESULT: hands in a picture, waits for the result and saves it.

DARKROOM_URL says where, DARKROOM_MODEL which model; DARKROOM_KEY is an API key, if there is one.
Nothing but Python's standard library is needed.
"""
import base64
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("DARKROOM_URL", "http://127.0.0.1:8080")
MODEL = os.environ.get("DARKROOM_MODEL", "portrait-drawing")
KEY = os.environ.get("DARKROOM_KEY")


def ask(path, body=None, **headers):
    """The JSON of an answer; a refusal ends the program with its reason."""
    headers = {name.replace("_", "-"): value for name, value in headers.items() if value}
    if body is not None:
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, body, headers)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        sys.exit(f"refused: {refusal.read().decode()}")  # application/problem+json


picture, result = sys.argv[1:]
with open(picture, "rb") as file:
    data = base64.b64encode(file.read()).decode()

# The same key again would be the same job: it is safe to repeat this call when the line breaks.
job = ask("/v1/jobs", {"model": MODEL, "input": data}, Authorization=KEY and f"Bearer {KEY}",
          Idempotency_Key=str(uuid.uuid4()), Prefer="wait=20")
token = job["tokens"]["view"]

# Each of these calls is answered when the job has ended, or after 20 seconds.
while job["state"] in ("queued", "running", "delayed"):
    job = ask(f"/v1/jobs/{job['id']}", Authorization=f"Bearer {token}", Prefer="wait=20")
if job["state"] != "succeeded":
    sys.exit(f"{job['state']}: {job['error']}")

# The answer leads to a link that is good for some minutes.
with urllib.request.urlopen(f"{URL}/v1/jobs/{job['id']}/result?token={token}") as answer, open(result, "wb") as file:
    file.write(answer.read())
