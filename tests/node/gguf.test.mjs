// What `higgins export` writes, opened by llama.cpp (node-llama-cpp): the same ids for a prompt, the same greedy tokens behind it.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

const build = new URL('../../build/release/', import.meta.url).pathname;
const higgins = process.env.HIGGINS ?? join(build, 'higgins');
const dump = join(build, 'tests/model_dump');
const folder = mkdtempSync(join(tmpdir(), 'higgins-gguf-'));
const at = (name) => join(folder, name);
const run = (program, args) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();

const skip = Number(process.versions.node.split('.')[0]) < 20 && 'node-llama-cpp needs Node.js 20';
let llama, lib;
before(async () => {
  if (skip) return;
  lib = await import('node-llama-cpp');
  llama = await lib.getLlama({ gpu: false, build: 'never', logLevel: lib.LlamaLogLevel.error });
  const words = 'the miller and his daughter went to the river when the moon was high; what did they find there? '.split(' ');
  let text = '';
  for (let i = 0; i < 6000; i++) text += words[(i * i + 3 * i) % words.length] + (i % 17 ? ' ' : '.\n');
  writeFileSync(at('text.txt'), text);
  run(higgins, ['tokenizer', 'train', at('text.txt'), '--vocab', '400', '-o', at('tokenizer.json'), '--quiet']);
});
after(async () => {
  await llama?.dispose();
  rmSync(folder, { recursive: true });
});

// Large weights, so that the best token is far ahead of the second and 64 of them are no loop.
const models = {
  llama: 'arch=llama width=96 heads=6 kv=2 ff=160 layers=3 scale=9',
  'llama, tied': 'arch=llama width=64 heads=4 kv=4 ff=128 scale=9 tie=1',
  'llama with scaled frequencies': 'arch=llama width=64 heads=4 kv=2 head=16 ff=128 scale=9 theta=500000 llama3=8',
  qwen2: 'arch=qwen2 width=64 heads=4 kv=2 ff=128 scale=9 tie=1',
  qwen3: 'arch=qwen3 width=64 heads=4 kv=2 head=32 ff=128 scale=9',
  gpt2: 'arch=gpt2 width=64 heads=4 ff=256 layers=2 scale=9 tie=1',
};
const prompt = 'the daughter of the miller';
writeFileSync(at('prompt.txt'), prompt);

async function theirs(file, n, lora) {
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({ contextSize: 120, batchSize: 64, threads: 1, flashAttention: false, ...(lora && { lora }) });
  const sequence = context.getSequence();
  const ids = [...model.tokenize(prompt)];
  const out = [];
  for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) if (out.push(Number(id)) >= n) break;
  await context.dispose();
  await model.dispose();
  return { ids: ids.map(Number), out };
}

// With float16 matrices llama.cpp rounds activations to float16 as well, in an order that depends on the processor, and we do not: near ties may
// fall differently. Each of its tokens must be our best behind the tokens before it, or as good as that.
function choicesAre(model, ids, chosen) {
  run(dump, ['logits', model, at('logits'), [...ids, ...chosen.slice(0, -1)].join(',')]);
  const bytes = readFileSync(at('logits'));
  const logits = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const width = logits.length / (ids.length + chosen.length - 1);
  const rows = chosen.map((id, i) => ({ id, row: logits.subarray((ids.length - 1 + i) * width, (ids.length + i) * width) }));
  const behind = rows.map(({ id, row }) => Math.max(...row) - row[id]);
  assert.ok(Math.max(...behind) < 0.05, `logits of the tokens chosen are behind ours by ${behind}`);
  assert.ok(behind.filter((gap) => gap > 0).length <= 3, `too many near ties: ${behind}`);
}
for (const [name, what] of Object.entries(models))
  for (const type of name === 'llama' || name === 'gpt2' ? ['f32', 'f16'] : ['f32'])
    test(`${name}: 64 greedy tokens of llama.cpp in ${type}`, { skip }, async () => {
      const model = at(`${name}-${type}`.replace(/\W+/g, '-')), file = `${model}.gguf`;
      // A vocabulary larger than the tokenizer's: the rows behind it have no token.
      run(dump, ['new', model, `type=${type}`, 'vocab=408', 'ctx=128', `tokenizer=${at('tokenizer.json')}`, ...what.split(' ')]);
      run(higgins, ['export', model, '-o', file, '--quiet']);
      assert.ok(existsSync(file));
      const ids = run(higgins, ['tokenizer', 'encode', at('prompt.txt'), '-k', at('tokenizer.json'), '--ids']).split(/\s+/).map(Number);
      const peer = await theirs(file, 64);
      assert.deepEqual(peer.ids, ids, 'ids of the prompt');
      const ours = run(dump, ['greedy', file, '64', peer.ids.join(',')]).split(',').map(Number);
      assert.ok(new Set(ours).size > 12, `the model loops: ${ours}`);
      assert.equal(peer.out.length, 64, `llama.cpp ended after ${peer.out}`);
      if (type === 'f32') assert.deepEqual(ours, peer.out);
      else choicesAre(file, peer.ids, peer.out);
      assert.deepEqual(run(dump, ['greedy', model, '64', peer.ids.join(',')]).split(',').map(Number), ours, 'folder and GGUF');
    });

test('an adapter that was tuned here does in llama.cpp what it does merged', { skip }, async () => {
  const model = at('tuned'), base = at('tuned.gguf'), adapter = at('tuned-adapter.gguf'), merged = at('tuned-merged.gguf'), tuned = at('tuned-run');
  run(dump, ['new', model, 'type=f32', 'vocab=408', 'ctx=128', `tokenizer=${at('tokenizer.json')}`, 'arch=llama', 'width=96', 'heads=6', 'kv=2', 'ff=160', 'layers=3', 'scale=9']);
  run(higgins, ['export', model, '-o', base, '--quiet']);
  const said = ['the miller and his daughter', 'what did they find there?', 'the moon was high'];
  writeFileSync(at('chats.jsonl'), Array.from({ length: 48 }, (_, i) => `${JSON.stringify({
    messages: [{ role: 'user', content: `${said[i % 3]} ${i}` }, { role: 'assistant', content: said[(i * i + 1) % 3] }] })}\n`).join(''));
  run(higgins, ['tune', model, '--data', at('chats.jsonl'), '--lora', '-o', tuned, '--quiet',
    ...['steps=30', 'lr=2e-2', 'batch_size=8', 'seq_len=64', 'sample_tokens=0', 'precision=f32'].flatMap((set) => ['--set', set])]);
  run(higgins, ['export', tuned, '-o', adapter, '--quiet']);
  run(higgins, ['export', tuned, '--merge', '-o', merged, '--type', 'f32', '--quiet']);
  const plain = await theirs(base, 32), adapted = await theirs(base, 32, adapter);
  assert.notDeepEqual(adapted.out, plain.out, 'the adapter changes nothing');
  choicesAre(merged, adapted.ids, adapted.out);
});
