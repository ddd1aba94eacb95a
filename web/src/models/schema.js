// A model's input as its OpenAPI schema tells it: which fields, in which order, drawn as what.

const resolve = (schema, all) => {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  const name = ref?.split('/').pop();
  return name && all[name] ? { ...all[name], ...schema } : schema;
};

const LONG = /prompt|text|template|content|message/;

function kindOf(name, p) {
  if (p.enum) return 'choice';
  if (p.type === 'boolean') return 'flag';
  if (p.type === 'integer' || p.type === 'number') {
    const isBounded = Number.isFinite(p.minimum) && Number.isFinite(p.maximum);
    return isBounded && p.maximum - p.minimum <= 10_000 ? 'slider' : 'number';
  }
  if (p.type === 'string' && p.format === 'uri') return 'file';
  if (p.type === 'string') return LONG.test(name) ? 'long' : 'text';
  return 'json';
}

// [{name, kind, title, description, isRequired, usual, min, max, step, choices}] in their order.
export function fieldsOf(openapi) {
  const all = openapi?.components?.schemas ?? {};
  const input = all.Input ?? {};
  return Object.entries(input.properties ?? {})
    .map(([name, raw]) => {
      const p = resolve(raw, all);
      return {
        name, kind: kindOf(name, p), title: p.title ?? name, description: p.description ?? '', isRequired: (input.required ?? []).includes(name), usual: p.default,
        min: p.minimum, max: p.maximum, step: p.type === 'integer' ? 1 : 0.01, isWhole: p.type === 'integer', choices: p.enum, order: p['x-order'] ?? 1e6,
      };
    })
    .sort((a, b) => a.order - b.order);
}

// What is sent: what was set to something else than usual, and what must be there.
export function inputOf(fields, values) {
  const input = {};
  for (const f of fields) {
    const v = values[f.name];
    if (v === undefined || v === '' || v === null) {
      if (f.isRequired) input[f.name] = f.kind === 'long' || f.kind === 'text' ? '' : f.usual;
    } else if (f.isRequired || v !== f.usual) input[f.name] = f.kind === 'json' ? JSON.parse(v) : v;
  }
  return input;
}
