// The same run as programs write it: Replicate's clients, and curl.
const python = (v, pad = '') => {
  if (v === true) return 'True';
  if (v === false) return 'False';
  if (v === null) return 'None';
  if (Array.isArray(v)) return `[${v.map((x) => python(x)).join(', ')}]`;
  if (typeof v === 'object') return `{\n${Object.entries(v).map(([k, x]) => `${pad}    ${JSON.stringify(k)}: ${python(x, `${pad}    `)},\n`).join('')}${pad}}`;
  return JSON.stringify(v);
};

export const languages = ['Python', 'Node', 'curl'];

export function snippet(language, id, input, base) {
  if (language === 'Python') {
    return `# pip install replicate\nimport replicate\n\nclient = replicate.Client(base_url=${JSON.stringify(base)}, api_token="TOKEN")\n` +
      `for event in client.stream(${JSON.stringify(id)}, input=${python(input)}):\n    print(str(event), end="")\n`;
  }
  if (language === 'Node') {
    return `// npm install replicate\nimport Replicate from 'replicate';\n\nconst replicate = new Replicate({ baseUrl: '${base}/v1', auth: 'TOKEN' });\n` +
      `const input = ${JSON.stringify(input, null, 2)};\nfor await (const { event, data } of replicate.stream('${id}', { input })) {\n  if (event === 'output') process.stdout.write(data);\n}\n`;
  }
  const body = JSON.stringify({ input }).replaceAll("'", "'\\''");
  return `curl -s ${base}/v1/models/${id}/predictions \\\n  -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' -H 'Prefer: wait' \\\n  -d '${body}'\n`;
}
