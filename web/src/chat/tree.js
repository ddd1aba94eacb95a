// A conversation is a tree of messages: an edited question and another answer are siblings. What is seen is the path from the beginning to the leaf
// that is looked at.

export const children = (messages, parent) => messages.filter((m) => (m.parent ?? null) === (parent ?? null));

// From the beginning to the message `at`; a damaged tree ends where it is damaged.
export function pathTo(messages, at) {
  const byId = new Map(messages.map((m) => [m.id, m]));
  const path = [];
  const seen = new Set();
  for (let m = byId.get(at); m && !seen.has(m.id); m = byId.get(m.parent)) {
    seen.add(m.id);
    path.unshift(m);
  }
  return path;
}

// The leaf behind a message, always along the youngest.
export function leafOf(messages, id) {
  for (let guard = messages.length; guard > 0; guard--) {
    const next = children(messages, id).at(-1);
    if (!next) return id;
    id = next.id;
  }
  return id;
}

// The others that could stand in a message's place, itself among them. Answers that were given beside each other count as one.
export function siblings(messages, m) {
  const all = children(messages, m.parent);
  return all.filter((other, i) => !other.notes?.pair || other.id === m.id ||
    (other.notes.pair !== m.notes?.pair && all.findIndex((o) => o.notes?.pair === other.notes.pair) === i));
}

// The answers of one question that were asked for at the same time, or the message alone.
export const pairOf = (messages, m) => (m.notes?.pair ? children(messages, m.parent).filter((o) => o.notes?.pair === m.notes.pair) : [m]);

// What a model reads of a question: attached files stand before what was said.
export function spoken(m) {
  const files = (m.notes?.files ?? []).map((f) => {
    const fence = '`'.repeat(Math.max(3, ...[...f.text.matchAll(/`+/g)].map((r) => r[0].length + 1)));
    return `${f.name}:\n${fence}\n${f.text}\n${fence}\n\n`;
  });
  return files.join('') + m.content;
}

// The messages of a request.
export function asked(path, system) {
  const list = system?.trim() ? [{ role: 'system', content: system.trim() }] : [];
  for (const m of path) {
    if (m.role === 'tool') list.push({ role: 'tool', tool_call_id: m.notes.call, content: m.content });
    else if (m.role === 'user') list.push({ role: 'user', content: spoken(m) });
    else if (m.notes?.calls?.length) {
      const tool_calls = m.notes.calls.map((c) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.arguments } }));
      list.push({ role: 'assistant', content: m.content || null, tool_calls });
    } else if (m.content) list.push({ role: 'assistant', content: m.content });
  }
  return list;
}
