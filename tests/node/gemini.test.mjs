// The official `@google/genai` client against `higgins serve`, and plain requests where it has other ways.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { GoogleGenAI } from '@google/genai';
import { serve } from './served.mjs';

let server, ai;
const clientOf = (s, apiKey = 'none', apiVersion) => new GoogleGenAI({ apiKey, vertexai: false, ...(apiVersion && { apiVersion }), httpOptions: { baseUrl: s.url } });
before(async () => {
  server = await serve('--parallel', '8');
  ai = clientOf(server);
});
after(async () => {
  const end = await server.stop();
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

const config = { maxOutputTokens: 24, temperature: 0, seed: 7, systemInstruction: 'Be kind.' };
const contents = 'Once upon a time';
const generate = (more = {}, what = contents) => ai.models.generateContent({ model: 'random', contents: what, config: { ...config, ...more } });
const stream = async (more = {}, what = contents) => {
  const chunks = [];
  for await (const c of await ai.models.generateContentStream({ model: 'random', contents: what, config: { ...config, ...more } })) chunks.push(c);
  return chunks;
};
const post = (path, body) => fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
async function refused(promise, status, word, words) {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e);
  assert.equal(error.status, status, error.message);
  const body = JSON.parse(error.message).error;
  assert.deepEqual([body.code, body.status], [status, word]);
  assert.match(body.message, words);
}

test('models are listed, found by name, and missed by their name', async () => {
  const names = [];
  for await (const m of await ai.models.list()) names.push(m.name);
  assert.deepEqual(names, ['models/random']);
  assert.equal((await ai.models.get({ model: 'random' })).inputTokenLimit, 1024);
  await refused(ai.models.get({ model: 'owner/none' }), 404, 'NOT_FOUND', /no model "owner\/none"/);
});

test('an answer has its text, its end and its usage', async () => {
  const r = await generate();
  assert.ok(r.text.length > 0);
  assert.equal(r.candidates[0].finishReason, 'MAX_TOKENS');
  assert.equal(r.usageMetadata.candidatesTokenCount, 24);
  assert.equal(r.usageMetadata.totalTokenCount, r.usageMetadata.promptTokenCount + 24);
  assert.equal(r.modelVersion, 'random');
});

test('a stream says the same as the whole answer, as events and as an array, on each version', async () => {
  const whole = await generate();
  const chunks = await stream();
  const said = (list) => list.map((c) => c.candidates[0].content.parts.map((p) => p.text).join('')).join('');
  assert.equal(said(chunks), whole.text);
  assert.deepEqual(chunks.map((c) => c.candidates[0].finishReason).filter(Boolean), ['MAX_TOKENS']);
  assert.equal(chunks.at(-1).usageMetadata.totalTokenCount, whole.usageMetadata.totalTokenCount);
  for (const version of ['v1', 'v1beta', 'v1alpha']) {
    const { systemInstruction, ...generationConfig } = config;
    const body = { contents: [{ parts: [{ text: contents }] }], systemInstruction: { parts: [{ text: systemInstruction }] }, generationConfig };
    const r = await post(`/${version}/models/random:streamGenerateContent`, body);
    assert.match(r.headers.get('content-type'), /^application\/json/);
    assert.equal(said(await r.json()), whole.text);
    assert.equal((await clientOf(server, 'none', version).models.generateContent({ model: 'random', contents, config })).text, whole.text);
  }
});

test('tokens are counted as the answer uses them', async () => {
  const { totalTokens } = await ai.models.countTokens({ model: 'random', contents });
  assert.equal(totalTokens, (await generate({ systemInstruction: undefined })).usageMetadata.promptTokenCount);
});

test('several candidates, and names in snake case', async () => {
  const r = await generate({ candidateCount: 3, temperature: 1 });
  assert.deepEqual(r.candidates.map((c) => c.index ?? 0), [0, 1, 2]);
  const snake = await (await post('/v1beta/models/random:generateContent', { contents: [{ parts: [{ text: 'Hi' }] }], generation_config: { max_output_tokens: 3, temperature: 0 } })).json();
  assert.equal(snake.usageMetadata.candidatesTokenCount, 3);
});

test('an answer is held to a schema in Gemini\'s form and in JSON Schema', async () => {
  const responseSchema = { type: 'OBJECT', properties: { age: { type: 'INTEGER', minimum: 0, maximum: 9 }, kind: { type: 'STRING', enum: ['mouse', 'house'] }, list: { type: 'ARRAY', maxItems: '2', items: { type: 'BOOLEAN' } } },
    required: ['kind', 'age', 'list'], propertyOrdering: ['kind', 'age', 'list'] };
  const noise = { temperature: 2, maxOutputTokens: 100, responseMimeType: 'application/json' };
  const a = JSON.parse((await generate({ ...noise, responseSchema })).text);
  assert.deepEqual(Object.keys(a), ['kind', 'age', 'list']);
  assert.ok(['mouse', 'house'].includes(a.kind) && Number.isInteger(a.age) && a.age >= 0 && a.age <= 9 && a.list.length <= 2);
  const b = JSON.parse((await generate({ ...noise, responseJsonSchema: { type: 'object', properties: { x: { enum: [1, 2] } }, required: ['x'] } })).text);
  assert.ok([1, 2].includes(b.x));
  assert.equal(typeof JSON.parse((await generate({ ...noise, maxOutputTokens: 60 })).text), 'object');
});

test('functions are called with arguments that fit, whole and streamed', async () => {
  const tools = [{ functionDeclarations: [{ name: 'get_weather', description: 'The weather.', parameters: { type: 'OBJECT', required: ['days'], properties: { days: { type: 'INTEGER', minimum: 1, maximum: 14 } } } },
    { name: 'now', parametersJsonSchema: { type: 'object', properties: {} } }] }];
  const how = { tools, systemInstruction: undefined, temperature: 2, maxOutputTokens: 80, toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['get_weather'] } } };
  const r = await generate(how, 'Hi');
  assert.equal(r.functionCalls.length, 1);
  const [call] = r.functionCalls;
  assert.equal(call.name, 'get_weather');
  assert.ok(Number.isInteger(call.args.days) && call.args.days >= 1 && call.args.days <= 14);
  const [streamed] = (await stream(how, 'Hi')).flatMap((c) => c.functionCalls ?? []);
  assert.deepEqual(streamed, call);
  const told = [{ role: 'user', parts: [{ text: 'Hi' }] }, { role: 'model', parts: [{ functionCall: call }] }, { role: 'user', parts: [{ functionResponse: { name: call.name, response: { output: 'rain' } } }] }];
  const next = await generate({ tools, systemInstruction: undefined, maxOutputTokens: 2 }, told);
  assert.ok(next.usageMetadata.promptTokenCount > r.usageMetadata.promptTokenCount);
});

test('every refusal is the client\'s own error and names the field', async () => {
  const bad = (more, words) => refused(generate(more), 400, 'INVALID_ARGUMENT', words);
  await bad({ temperature: 3 }, /generationConfig\.temperature/);
  await bad({ candidateCount: 9 }, /generationConfig\.candidateCount/);
  await bad({ stopSequences: ['a', 'b', 'c', 'd', 'e', 'f'] }, /stopSequences/);
  await bad({ responseMimeType: 'text/xml' }, /responseMimeType/);
  await bad({ tools: [{ googleSearch: {} }] }, /functionDeclarations/);
  await refused(generate({}, [{ role: 'robot', parts: [{ text: 'x' }] }]), 400, 'INVALID_ARGUMENT', /role/);
  await refused(generate({}, [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: 'AA==' } }] }]), 400, 'INVALID_ARGUMENT', /pictures/);
  await refused(generate({}, 'word '.repeat(2000)), 400, 'INVALID_ARGUMENT', /context/);
  await refused(ai.models.generateContent({ model: 'gemini', contents }), 404, 'NOT_FOUND', /no model "gemini"/);
  await refused(ai.models.embedContent({ model: 'random', contents: 'word '.repeat(2000) }), 400, 'INVALID_ARGUMENT', /context/);
  assert.equal((await post('/v1/models/random:generateContent', { contents: [] })).status, 400);
  assert.equal((await post('/v1beta/models/random:sing', {})).status, 404);
});

test('texts become vectors', async () => {
  const { embeddings } = await ai.models.embedContent({ model: 'random', contents: ['Once', 'upon a time'], config: { outputDimensionality: 16 } });
  assert.equal(embeddings.length, 2);
  assert.equal(embeddings[0].values.length, 16);
  const { embedding } = await (await post('/v1beta/models/random:embedContent', { content: { parts: [{ text: 'Once' }] } })).json();
  assert.ok(Math.abs(Math.hypot(...embedding.values) - 1) < 1e-5);
});

test('eight streams at once say what each says alone', async () => {
  const ask = async (i) => (await stream({ maxOutputTokens: 48 }, `Story number ${i}`)).map((c) => c.text ?? '').join('');
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, (_, i) => ask(i))), alone);
});

test('a key is taken from the header and from the query', async () => {
  const locked = await serve('--api-key', 'sesame');
  await refused(clientOf(locked, 'wrong').models.generateContent({ model: 'random', contents }), 401, 'UNAUTHENTICATED', /key/);
  assert.ok((await clientOf(locked, 'sesame').models.get({ model: 'random' })).name);
  assert.equal((await fetch(`${locked.url}/v1beta/models?key=sesame`)).status, 200);
  await locked.stop();
});
