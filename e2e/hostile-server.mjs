// An MCP server whose every text is one of the lines of a file: names people read, descriptions, schemas, instructions, what a
// call answers. It must misbehave on demand, which is why it is no real one. Settings: PORT, TEXTS (a file, one text per line).
import { readFileSync } from 'node:fs';
import http from 'node:http';

const { PORT, TEXTS } = process.env;
const texts = readFileSync(TEXTS, 'utf8').split('\n').filter(Boolean);

const tools = texts.map((text, number) => ({
  name: `tool_${number}`,
  title: text,
  description: `About: ${text}`,
  annotations: { title: text, readOnlyHint: number % 2 === 0, destructiveHint: number % 2 === 1 },
  inputSchema: {
    type: 'object',
    properties: {
      plain: { type: 'string', title: text, description: text, default: text },
      choice: { type: 'string', enum: [text, 'other'], description: text },
      [text]: { type: 'string', description: 'Its name is the text.' },
    },
    required: ['plain'],
  },
}));

const answers = {
  initialize: () => ({
    protocolVersion: '2025-06-18',
    capabilities: { tools: {} },
    serverInfo: { name: texts[0], title: texts[1], version: texts[2] },
    instructions: texts.join('\n'),
  }),
  ping: () => ({}),
  'tools/list': () => ({ tools }),
  'tools/call': ({ name, arguments: given }) => {
    const text = texts[Number(name.replace('tool_', ''))];
    return {
      content: [{ type: 'text', text }, { type: 'resource_link', uri: 'https://example.com/', name: text, description: text }],
      structuredContent: { [text]: text, given },
      isError: given?.plain === 'fail',
    };
  },
};

http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.method !== 'POST') return response.writeHead(405).end();
  const { id, method, params = {} } = JSON.parse(Buffer.concat(chunks).toString());
  if (id === undefined) return response.writeHead(202).end();
  const answer = answers[method];
  const body = answer ? { result: answer(params) } : { error: { code: -32601, message: texts[3], data: texts[4] } };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, ...body }));
}).listen(Number(PORT), '127.0.0.1');
