// A model with random weights behind `higgins serve`, for the tests of the server.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';

const build = new URL('../../build/release/', import.meta.url).pathname;
export const higgins = process.env.HIGGINS ?? `${build}higgins`;

// Writes a small model with random weights to that folder.
export const makeModel = (folder) => execFileSync(`${build}tests/make_model`, [folder]);

// Starts the program on that folder and resolves once it answers.
async function start(folder, given, env) {
  const child = spawn(higgins, ['serve', join(folder, 'random'), '--port', '0', '--json', '--quiet', '--data', join(folder, 'data'), ...given], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let complaints = '';
  child.stderr.on('data', (d) => { complaints += d; });
  const exit = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal, complaints })));
  const line = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    exit.then((e) => { throw new Error(`the server ended: ${e.code} ${e.complaints}`); }),
  ]);
  return { child, exit, ready: JSON.parse(line) };
}

// Resolves once the server answers. It asks for no token unless --with-token is among the options, or a key:
// {url, token, base, data, again(signal), stop(), end(signal), signal(signal), rss(), descriptors()}. again() ends it by a signal and starts it anew on the same data.
export const serve = (...options) => serveIn({}, ...options);

// The same with these variables in its environment.
export async function serveIn(env, ...options) {
  const folder = mkdtempSync(join(tmpdir(), 'higgins-serve-'));
  makeModel(join(folder, 'random'));
  const access = options.some((o) => ['--api-key', '--with-token'].includes(o)) ? [] : ['--no-token'];
  const given = [...access, ...options.filter((o) => o !== '--with-token')];
  let now = await start(folder, given, env);
  const server = {
    token: now.ready.token,
    data: join(folder, 'data'),
    end: (signal) => { now.child.kill(signal); return now.exit; },
    signal: (signal) => now.child.kill(signal),
    again: async (signal) => {
      await server.end(signal);
      now = await start(folder, given, env);
      Object.assign(server, { url: now.ready.url, base: now.ready.base_url });
    },
    stop: async () => {
      const e = await server.end('SIGTERM');
      rmSync(folder, { recursive: true });
      return e;
    },
    makeToken: (name, ...more) => execFileSync(higgins, ['token', 'add', name, '--data', server.data, '--quiet', ...more], { encoding: 'utf8' }).match(/hg_[\w-]+/)[0],
    anonymous: () => Number(readFileSync(`/proc/${now.child.pid}/status`, 'utf8').match(/RssAnon:\s+(\d+)/)[1]) * 1024,
    rss: () => Number(readFileSync(`/proc/${now.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) * 1024,
    descriptors: () => Number(execFileSync('sh', ['-c', `ls /proc/${now.child.pid}/fd | wc -l`])),
  };
  return Object.assign(server, { url: now.ready.url, base: now.ready.base_url });
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
