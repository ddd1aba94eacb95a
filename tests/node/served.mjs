// A model with random weights behind `higgins serve`, for the tests of the server.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';

const build = new URL('../../build/release/', import.meta.url).pathname;
const higgins = process.env.HIGGINS ?? `${build}higgins`;

// Resolves once the server answers. It asks for no token unless --with-token is among the options, or a key: {url, token, base, stop(), end(signal), rss(), descriptors()}.
export async function serve(...options) {
  const folder = mkdtempSync(join(tmpdir(), 'higgins-serve-'));
  const model = join(folder, 'random');
  execFileSync(`${build}tests/make_model`, [model]);
  const access = options.some((o) => ['--api-key', '--with-token'].includes(o)) ? [] : ['--no-token'];
  const given = options.filter((o) => o !== '--with-token');
  const child = spawn(higgins, ['serve', model, '--port', '0', '--json', '--quiet', '--data', join(folder, 'data'), ...access, ...given], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', (d) => { complaints += d; });
  const exit = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal, complaints })));
  const line = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    exit.then((e) => { throw new Error(`the server ended: ${e.code} ${e.complaints}`); }),
  ]);
  const ready = JSON.parse(line);
  return {
    url: ready.url,
    base: ready.base_url,
    token: ready.token,
    end: (signal) => { child.kill(signal); return exit; },
    stop: async () => {
      child.kill('SIGTERM');
      const e = await exit;
      rmSync(folder, { recursive: true });
      return e;
    },
    rss: () => Number(readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) * 1024,
    anonymous: () => Number(readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/RssAnon:\s+(\d+)/)[1]) * 1024,
    makeToken: (name) => execFileSync(higgins, ['token', 'add', name, '--data', join(folder, 'data'), '--quiet'], { encoding: 'utf8' }).match(/hg_[\w-]+/)[0],
    descriptors: () => Number(execFileSync('sh', ['-c', `ls /proc/${child.pid}/fd | wc -l`])),
  };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
