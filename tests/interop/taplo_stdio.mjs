#!/usr/bin/env node
// Serves the language server of npm's `@taplo/lsp` (the one inside Even Better TOML) over stdio, as
// `taplo lsp stdio` does; the build of `taplo` in npm's `@taplo/cli` has none.
//
//   NODE_PATH=FOLDER/node_modules node taplo_stdio.mjs lsp stdio

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

// `require` looks in NODE_PATH, `import` does not.
const { TaploLsp } = createRequire(import.meta.url)("@taplo/lsp");

const send = (message) => {
  const body = Buffer.from(JSON.stringify(message));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
};

const server = await TaploLsp.initialize(
  {
    cwd: () => process.cwd(),
    envVar: (name) => process.env[name],
    envVars: () => Object.entries(process.env),
    findConfigFile: () => undefined,
    glob: () => [],
    isAbsolute: (file) => path.isAbsolute(file),
    now: () => new Date(),
    readFile: (file) => fs.promises.readFile(file),
    writeFile: (file, bytes) => fs.promises.writeFile(file, bytes),
    stdErrAtty: () => false,
    stdin: async () => new Uint8Array(),
    stdout: async (bytes) => bytes.length,
    stderr: async (bytes) => bytes.length,
    urlToFilePath: (url) => fileURLToPath(url),
    fetch: { fetch, Headers, Request, Response },
  },
  { onMessage: send },
);

let inbox = Buffer.alloc(0);
process.stdin.on("data", (bytes) => {
  inbox = Buffer.concat([inbox, bytes]);
  for (;;) {
    const header = inbox.indexOf("\r\n\r\n");
    if (header < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(inbox.subarray(0, header).toString())[1]);
    const end = header + 4 + length;
    if (inbox.length < end) return;
    server.send(JSON.parse(inbox.subarray(header + 4, end).toString()));
    inbox = inbox.subarray(end);
  }
});
process.stdin.on("end", () => process.exit(0));
