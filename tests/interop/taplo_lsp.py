#!/usr/bin/env python3
"""Drives a TOML language server as an editor does and checks what it says of a recipe.

Usage: taplo_lsp.py SCHEMA TAPLO [ARG...]      e.g. taplo_lsp.py schemas/recipe.schema.json taplo

Runs `TAPLO ARG... lsp stdio`, opens a recipe whose first line names SCHEMA, asks for completions on
the empty line after `kind = "dpo"`, and fails (exit 1) unless every key of a stage is offered with
the documentation that the schema gives it. A hover over a key must show its doc, and a key of another
kind must be flagged on its own line. Builds without a server are skipped. Standard library only.
"""
import json
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

WAIT_S = 60

RECIPE = """#:schema {schema}
name = "editor"

[model]
base = "model"

[data.rows]
source = "rows.jsonl"

[[stage]]
name = "sft"
kind = "sft"
data = "rows"
label_smoothing = 0.1

[[stage]]
name = "dpo"
kind = "dpo"

beta = 0.2
"""


class Server:
    """One language server over stdio."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command + ["lsp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.inbox = queue.Queue()
        self.published = {}
        self.last_id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        stream = self.process.stdout
        while True:
            length = None
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length is None:
                self.inbox.put(None)
                return
            self.inbox.put(json.loads(stream.read(length)))

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _next(self):
        """Handles one message of the server; returns it."""
        try:
            message = self.inbox.get(timeout=WAIT_S)
        except queue.Empty:
            sys.exit(f"taplo lsp did not answer within {WAIT_S} s")
        if message is None and self.last_id == 1:
            print("skipped: this build has no language server")
            sys.exit(0)
        if message is None:
            sys.exit("taplo lsp closed its output")
        if message.get("method") == "textDocument/publishDiagnostics":
            self.published[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:  # the server asks: no configuration here
            asked = message["params"].get("items", []) if isinstance(message.get("params"), dict) else []
            self._send({"id": message["id"], "result": [None] * len(asked)})
        return message

    def notify(self, method, params):
        self._send({"method": method, "params": params})

    def request(self, method, params):
        self.last_id += 1
        self._send({"id": self.last_id, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == self.last_id and "method" not in message:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]

    def diagnostics(self, uri):
        """Waits until the server publishes something for `uri`."""
        while not self.published.get(uri):
            self._next()
        return self.published[uri]


def text_of(documentation):
    return documentation["value"] if isinstance(documentation, dict) else documentation or ""


def stage_keys(schema):
    """Key → doc of a `[[stage]]` table."""
    stage = schema["properties"]["stage"]["items"]
    if "$ref" in stage:
        stage = schema["definitions"][stage["$ref"].rsplit("/", 1)[1]]
    return {key: value.get("description", "") for key, value in stage["properties"].items()}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    schema_path, command = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    schema = json.loads(schema_path.read_text())
    wanted = stage_keys(schema)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "recipe.toml"
        text = RECIPE.format(schema=schema_path.as_uri())
        path.write_text(text)
        lines = text.split("\n")
        here = lines.index('kind = "dpo"') + 1
        server, uri, root = Server(command), path.as_uri(), pathlib.Path(folder).as_uri()
        server.request("initialize", {
            "processId": None, "rootUri": root, "capabilities": {},
            "workspaceFolders": [{"uri": root, "name": "recipes"}],
        })
        server.notify("initialized", {})
        server.notify("textDocument/didOpen", {
            "textDocument": {"uri": uri, "languageId": "toml", "version": 1, "text": text}
        })
        flagged = server.diagnostics(uri)
        items = server.request("textDocument/completion", {
            "textDocument": {"uri": uri}, "position": {"line": here, "character": 0}
        }) or []
        items = items["items"] if isinstance(items, dict) else items
        offered = {}
        for item in items:  # a key of several forms comes once a form
            offered.setdefault(item["label"], text_of(item.get("documentation")))
        hover = server.request("textDocument/hover", {
            "textDocument": {"uri": uri}, "position": {"line": lines.index('base = "model"'), "character": 1}
        })
        server.request("shutdown", None)
        server.process.kill()

    failures = []
    for key, doc in wanted.items():
        if key in ("name", "kind", "beta"):  # already written in this stage
            continue
        if key not in offered:
            failures.append(f"`{key}` is not completed")
        elif not doc or doc.split("\n")[0] not in offered[key]:
            failures.append(f"`{key}` is completed without its doc, but with: {offered[key]!r}")
    base = schema["properties"]["model"]["properties"]["base"]["description"]
    if base not in json.dumps(hover, ensure_ascii=False):
        failures.append(f"hover over `base` shows {hover}")
    smoothing = lines.index("label_smoothing = 0.1")
    if not any(d["range"]["start"]["line"] == smoothing for d in flagged):
        failures.append(f"`label_smoothing` on an sft stage is not flagged: {flagged}")
    for key in ("reference", "loss_type", "learning_rate"):
        print(f"  {key}: {(offered.get(key) or '(nothing)').splitlines()[0]}")
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"completed {len([k for k in wanted if k in offered])} stage keys after `kind = \"dpo\"`, {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
