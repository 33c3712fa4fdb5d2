// SPDX-License-Identifier: MIT
// fastify with BullMQ behind the requests of tests/bench/http_submit.sh:
//   node fastify.mjs SOCKET FOLDER PORT-FILE
// Checks what Darkroom checks, as far as a schema can say it, and answers 202 once Redis has the job.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import multipart from '@fastify/multipart';
import { Queue } from 'bullmq';
import fastify from 'fastify';
import Redis from 'ioredis';

const [socket, folder, portFile] = process.argv.slice(2);
const queue = new Queue('bench', { connection: new Redis(socket, { maxRetriesPerRequest: null }) });
const app = fastify({ logger: false });
const options = { removeOnComplete: true, attempts: 3 };
const schema = {
  body: {
    type: 'object',
    required: ['model'],
    additionalProperties: false,
    properties: {
      model: { type: 'string', enum: ['dice'] },
      params: {
        type: 'object',
        additionalProperties: false,
        properties: {
          seed: { type: 'integer', minimum: 0, maximum: 1000000, default: 1 },
          prompt: { type: 'string', maxLength: 500, default: '' },
        },
      },
    },
  },
};

async function accept(reply, data) {
  const id = randomBytes(16).toString('hex');
  await queue.add('job', data, { ...options, jobId: id });
  reply.code(202).header('Location', `/v1/jobs/${id}`);
  return { id, state: 'queued' };
}

app.register(multipart, { limits: { fileSize: 20 * 1024 * 1024 } });
app.post('/v1/jobs', { schema }, (request, reply) => accept(reply, request.body));
app.post('/v1/pictures', async (request, reply) => {
  const picture = await (await request.file()).toBuffer();
  const name = randomBytes(16).toString('hex');
  await writeFile(`${folder}/${name}`, picture);
  return accept(reply, { input: name });
});

await queue.waitUntilReady();
await app.listen({ host: '127.0.0.1', port: 0 });
writeFileSync(portFile, String(app.server.address().port));
