// SPDX-License-Identifier: MIT
// Event streams of node's own HTTP server, for tests/bench/http_streams.py:  node events.mjs PORT-FILE
// GET holds a stream; POST writes one event to all of them.
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const streams = new Set();
const server = createServer((request, response) => {
  if (request.method === 'POST') {
    for (const stream of streams) stream.write('event: job\ndata: {"state":"cancelled"}\n\n');
    response.end();
    return;
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write('event: job\ndata: {"state":"queued"}\n\n');
  streams.add(response);
  response.on('close', () => streams.delete(response));
});
setInterval(() => streams.forEach((stream) => stream.write(':\n\n')), 15000);
server.listen(0, '127.0.0.1', () => writeFileSync(process.argv[2], String(server.address().port)));
