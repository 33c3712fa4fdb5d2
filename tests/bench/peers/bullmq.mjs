// SPDX-License-Identifier: MIT
// BullMQ behind the roles of tests/bench/queue/compare.py:
//   node bullmq.mjs submit SOCKET JOBS MODE
//   node bullmq.mjs work SOCKET JOBS MODE OUT
import { appendFileSync, writeFileSync } from 'node:fs';
import { Queue, Worker } from 'bullmq';
import Redis from 'ioredis';

const [role, socket, jobsText, mode, out] = process.argv.slice(2);
const jobs = Number(jobsText);
const pad = 'x'.repeat(300);
const nowUs = () => (performance.timeOrigin + performance.now()) * 1000;
const connect = () => new Redis(socket, { maxRetriesPerRequest: null });
const options = { removeOnComplete: true };

async function submit() {
  const queue = new Queue('bench', { connection: connect() });
  await queue.waitUntilReady();
  const start = nowUs();
  if (mode === 'wake') {
    for (let i = 0; i < jobs; i++) {
      await queue.add('job', { at: nowUs(), pad }, options);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } else {
    const pending = [];
    for (let done = 0; done < jobs; done += 500) {
      const many = Array.from({ length: Math.min(500, jobs - done) }, () => ({ name: 'job', data: { pad }, opts: options }));
      pending.push(queue.addBulk(many));
      if (pending.length === 4) await pending.shift();
    }
    await Promise.all(pending);
  }
  console.log((nowUs() - start) / 1e6);
  await queue.close();
  process.exit(0);
}

function work() {
  const waits = [];
  let first = 0;
  let done = 0;
  const handle = async (job) => {
    if (mode === 'hang') {
      appendFileSync(out, `${process.pid} ${nowUs()}\n`);
      await new Promise((resolve) => setTimeout(resolve, 600000));
    } else if (mode === 'wake') {
      waits.push(nowUs() - job.data.at);
    }
    first ||= nowUs();
  };
  const worker = new Worker('bench', handle, { connection: connect(), concurrency: mode === 'count' ? 500 : 1 });
  worker.on('completed', () => {
    if (++done === jobs) {
      writeFileSync(out, mode === 'wake' ? waits.map((us) => us.toFixed(0)).join('\n') : `${first} ${nowUs()}`);
      process.exit(0);
    }
  });
}

await (role === 'submit' ? submit() : work());
