// Bundles the page and writes it as one C file: a table of files, compressed where that helps, each with its type and a tag of its bytes.
//   node build.mjs OUT.c
// Names below /assets/ hold a hash of what is in them, so that a browser may keep them for ever; rooms that few visit (formulas, colours of code,
// curves) are chunks of their own, which are fetched when they are needed.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync, renameSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = import.meta.dirname ?? dirname(new URL(import.meta.url).pathname);
const out = process.argv[2];
const assets = join(dirname(out), 'assets');
const types = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2', '.svg': 'image/svg+xml',
};

rmSync(assets, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });
const result = await build({
  absWorkingDir: here, entryPoints: { app: 'src/main.jsx', style: 'src/styles/all.css', icon: 'src/icon.svg' }, outdir: assets,
  bundle: true, minify: true, splitting: true, format: 'esm', target: 'es2022', jsx: 'automatic', jsxImportSource: 'preact', metafile: true,
  entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]', assetNames: '[name]-[hash]', publicPath: '/assets', legalComments: 'none', logLevel: 'warning',
  loader: { '.woff2': 'copy', '.woff': 'empty', '.ttf': 'empty', '.svg': 'copy' }, define: { 'process.env.NODE_ENV': '"production"' },
});
const built = (entry) => '/assets/' + Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint === entry)[0].split('/').pop();
const icon = '/assets/' + readdirSync(assets).find((name) => name.startsWith('icon-'));
const html = readFileSync(join(here, 'src/index.html'), 'utf8')
  .replace('APP_JS', built('src/main.jsx')).replace('APP_CSS', built('src/styles/all.css')).replace('APP_ICON', icon);

const files = [{ path: '/', bytes: Buffer.from(html), type: types['.html'] }];
for (const name of readdirSync(assets).sort()) {
  if (!types[extname(name)]) throw new Error(`${name}: no type is known for it`);
  files.push({ path: `/assets/${name}`, bytes: readFileSync(join(assets, name)), type: types[extname(name)] });
}
let c = '/* Made by web/build.mjs. */\n#include "serve/page/files.h"\n';
let table = '';
let total = 0;
files.forEach((f, i) => {
  const zipped = gzipSync(f.bytes, { level: 9 });
  const isZipped = zipped.length < f.bytes.length * 0.95;
  const body = isZipped ? zipped : f.bytes;
  total += body.length;
  const tag = createHash('sha256').update(f.bytes).digest('hex').slice(0, 20);
  c += `static const unsigned char file_${i}[] = {\n${[...body].join(',').replace(/(.{1,140}),/g, '$1,\n')}};\n`;
  table += `    {"${f.path}", "${f.type}", "\\"${tag}\\"", file_${i}, sizeof file_${i}, ${isZipped ? f.bytes.length : 0}},\n`;
});
c += `const hg_page_file hg_page_files[] = {\n${table}};\nconst size_t hg_n_page_files = sizeof hg_page_files / sizeof hg_page_files[0];\n`;
writeFileSync(`${out}.new`, c);
renameSync(`${out}.new`, out);
console.log(`the page: ${files.length} files, ${(total / 1024).toFixed(0)} KiB in the program`);
