// Runs one file of node:test and ends with the line that every suite ends with.
import { run } from 'node:test';
import { resolve } from 'node:path';

let passed = 0, failed = 0, skipped = 0;
const stream = run({ files: [resolve(process.argv[2])], timeout: 240_000 });
stream.on('test:pass', (t) => {
  if (t.details?.type === 'suite' || t.name === process.argv[2] || t.name === resolve(process.argv[2])) return;
  if (t.skip !== undefined) {
    skipped++;
    console.log(`skipped ${t.name}: ${t.skip === true ? '' : t.skip}`);
  } else passed++;
});
stream.on('test:fail', (t) => {
  if (t.details?.type === 'suite') return;
  failed++;
  const error = t.details?.error;
  console.log(`FAILED ${t.name}: ${error?.cause?.stack ?? error?.cause ?? error}`);
});
stream.on('test:stderr', (m) => process.stdout.write(m.message));
stream.on('test:stdout', (m) => process.stdout.write(m.message));
stream.on('end', () => {
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed > 0 || passed + skipped === 0 ? 1 : 0);
});
stream.resume?.();
