# SPDX-License-Identifier: MIT
"""Services of AWS on loopback, as far as Darkroom calls them: Auto Scaling (query API), Secrets Manager (JSON), and objects of
S3 by headers and by links.

    with MetadataServer() as cloud, AwsServer(cloud) as aws:
        worker --guard aws --spot-endpoint cloud.url --guard-endpoint aws.url
        aws.protected               # machine → bool, in the group aws.group
        aws.secrets["name"] = "…"
        aws.objects                 # path → bytes
        aws.calls                   # (action, members or target's body) of every call that was let in
        aws.fails = "ScalingActivityInProgress"

Each signature is reckoned once more from what arrived, by AWS's description and without Darkroom's code. Credentials are
those that the metadata service gives out at that moment.
"""
import datetime
import hashlib
import hmac
import http.server
import json
import urllib.parse

from loopback import LoopbackServer

REGION = "eu-west-1"


def signature(secret_key, method, target, headers, signed_names, payload_hash, scope, time):
    """AWS Signature Version 4 of a request that has arrived; hex."""
    path, _, query = target.partition("?")
    pairs = sorted(pair for pair in urllib.parse.parse_qsl(query, keep_blank_values=True) if pair[0] != "X-Amz-Signature")
    canonical = "\n".join([
        method, path, "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in pairs),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed_names), "",
        ";".join(signed_names), payload_hash])
    text = "\n".join(["AWS4-HMAC-SHA256", time, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for word in scope:
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class AwsServer(LoopbackServer):
    def __init__(self, cloud, group="darkroom-workers", least=0, most=10):
        self.cloud, self.group, self.least, self.most = cloud, group, least, most
        self.protected, self.desired, self.secrets, self.objects = {}, [], {}, {}
        self.calls, self.refused = [], []
        self.fails = None           # the code of an error that every call gets
        self.held = None            # threading.Event: calls wait for it
        super().__init__(Handler, aws=self)

    def close(self):
        if self.held:
            self.held.set()
        super().close()


class Refusal(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class Handler(http.server.BaseHTTPRequestHandler):
    aws = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            service = self.check_signature(body)
            if self.aws.held:
                self.aws.held.wait(30)
            if self.aws.fails:
                raise Refusal(400, self.aws.fails)
            if service == "autoscaling":
                self.answer(200, self.autoscaling(body).encode(), "text/xml")
            else:
                self.answer(200, json.dumps(self.secret(body)).encode(), "application/x-amz-json-1.1")
        except Refusal as refusal:
            self.aws.refused.append(refusal.code)
            if self.headers.get("X-Amz-Target"):
                text = json.dumps({"__type": f"com.amazonaws#{refusal.code}", "message": "no"})
            else:
                text = ('<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type>'
                        f"<Code>{refusal.code}</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>")
            self.answer(refusal.status, text.encode(), "text/xml")
        except OSError:
            self.close_connection = True  # who asked has gone

    def check_signature(self, body):
        algorithm, _, rest = self.headers["Authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, *scope = parts["Credential"].split("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        names, mine = parts["SignedHeaders"].split(";"), self.aws.cloud.credentials
        time = headers["x-amz-date"]
        if algorithm != "AWS4-HMAC-SHA256" or names != sorted(names) or not {"host", "x-amz-date"} <= set(names):
            raise Refusal(400, "IncompleteSignature")
        if {name for name in headers if name.startswith("x-amz-")} - set(names):
            raise Refusal(400, "IncompleteSignature")
        if access_key != mine["AccessKeyId"] or headers.get("x-amz-security-token") != mine["Token"]:
            raise Refusal(403, "InvalidClientTokenId")
        date = datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((datetime.datetime.now(datetime.timezone.utc) - date).total_seconds()) > 300:
            raise Refusal(403, "RequestExpired")
        service = "secretsmanager" if "x-amz-target" in headers else "s3" if self.command != "POST" else "autoscaling"
        if scope != [time[:8], REGION, service, "aws4_request"]:
            raise Refusal(403, "SignatureDoesNotMatch")
        expected = signature(mine["SecretAccessKey"], self.command, self.path, headers, names, hashlib.sha256(body).hexdigest(),
                             scope, time)
        if parts["Signature"] != expected:
            raise Refusal(403, "SignatureDoesNotMatch")
        return service

    def check_link(self):
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
        headers, mine = {name.lower(): value for name, value in self.headers.items()}, self.aws.cloud.credentials
        access_key, *scope = query["X-Amz-Credential"].split("/")
        if access_key != mine["AccessKeyId"] or query.get("X-Amz-Security-Token") != mine["Token"]:
            raise Refusal(403, "InvalidAccessKeyId")
        if scope[1:] != [REGION, "s3", "aws4_request"] or query["X-Amz-Signature"] != signature(
                mine["SecretAccessKey"], self.command, self.path, headers, query["X-Amz-SignedHeaders"].split(";"),
                "UNSIGNED-PAYLOAD", scope, query["X-Amz-Date"]):
            raise Refusal(403, "SignatureDoesNotMatch")

    def do_object(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, objects = self.path.partition("?")[0], self.aws.objects
        try:
            if "X-Amz-Signature=" in self.path:
                self.check_link()
            else:
                self.check_signature(body)
                if self.headers["X-Amz-Content-SHA256"] != hashlib.sha256(body).hexdigest():
                    raise Refusal(400, "XAmzContentSHA256Mismatch")
            if self.command == "PUT":
                objects[path] = body
            elif self.command == "DELETE":
                objects.pop(path, None)
            elif path.count("/") == 2 and path.endswith("/"):
                self.answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", "application/xml")
                return
            elif path not in objects:
                raise Refusal(404, "NoSuchKey")
            self.answer(200, objects.get(path, b"") if self.command == "GET" else b"", "application/octet-stream")
        except Refusal as refusal:
            self.aws.refused.append(refusal.code)
            self.answer(refusal.status, f"<Error><Code>{refusal.code}</Code></Error>".encode(), "application/xml")

    do_GET = do_PUT = do_DELETE = do_object

    def autoscaling(self, body):
        aws = self.aws
        if not self.headers["Content-Type"].startswith("application/x-www-form-urlencoded"):
            raise Refusal(400, "MalformedInput")
        members = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        action = members.pop("Action")
        if members.pop("Version") != "2011-01-01":
            raise Refusal(400, "InvalidAction")
        if members["AutoScalingGroupName"] != aws.group:
            raise Refusal(400, "ValidationError")
        if action == "SetInstanceProtection":
            known = {"AutoScalingGroupName", "InstanceIds.member.1", "ProtectedFromScaleIn"}
            if set(members) != known or members["ProtectedFromScaleIn"] not in ("true", "false"):
                raise Refusal(400, "ValidationError")
            aws.protected[members["InstanceIds.member.1"]] = members["ProtectedFromScaleIn"] == "true"
        elif action == "SetDesiredCapacity":
            if set(members) != {"AutoScalingGroupName", "DesiredCapacity", "HonorCooldown"} or \
                    not aws.least <= int(members["DesiredCapacity"]) <= aws.most:
                raise Refusal(400, "ValidationError")
            aws.desired.append(int(members["DesiredCapacity"]))
        else:
            raise Refusal(400, "InvalidAction")
        aws.calls.append((action, members))
        return (f'<{action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><ResponseMetadata>'
                f"<RequestId>1</RequestId></ResponseMetadata></{action}Response>")

    def secret(self, body):
        if self.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue" or \
                self.headers["Content-Type"] != "application/x-amz-json-1.1":
            raise Refusal(400, "UnknownOperationException")
        name = json.loads(body)["SecretId"]
        if name not in self.aws.secrets:
            raise Refusal(400, "ResourceNotFoundException")
        self.aws.calls.append(("GetSecretValue", name))
        return {"ARN": f"arn:aws:secretsmanager:{REGION}:1:secret:{name}", "Name": name, "SecretString": self.aws.secrets[name]}
