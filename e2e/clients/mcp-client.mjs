// One of the two official TypeScript clients, driven from outside:
//   node mcp-client.mjs '{"sdk":"client|sdk","mode":"legacy|auto|2026-07-28","url":"…","headers":{},"operations":[…]}'
// An operation is {"list":true} or {"call":NAME,"arguments":{…}}. Prints {"protocol":…,"results":[…]}.
//
// With "signIn":{"name":…,"redirectUri":…} it has no token: it prints {"browse":URL} on a line of its own, reads from a line
// where the browser ended, and its output has the "accessToken" that it got. Without "operations" it stays, says {"ready":true}
// and takes an operation a line: {"result":…} or {"refused":…} each.
import { createInterface } from 'node:readline';
import { SignIn } from './sign-in.mjs';

const job = JSON.parse(process.argv[2]);
const identity = { name: 'switchboard-peer-test', version: '1' };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function browse(url) {
  say({ browse: url });
  return (await lines.next()).value;
}

const authProvider = job.signIn && new SignIn(job.signIn.name, job.signIn.redirectUri, browse);

async function prepare() {
  const url = new URL(job.url);
  const options = { requestInit: { headers: job.headers }, authProvider };
  if (job.sdk === 'sdk') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    return { client: new Client(identity), transport: new StreamableHTTPClientTransport(url, options) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = ['legacy', 'auto'].includes(job.mode) ? job.mode : { pin: job.mode };
  const client = new Client(identity, { versionNegotiation: { mode } });
  return { client, transport: new StreamableHTTPClientTransport(url, options) };
}

async function open() {
  const { client, transport } = await prepare();
  try {
    await client.connect(transport);
    return client;
  } catch (error) {
    if (!authProvider?.kept.callback) throw error;
    await authProvider.finish(transport, job.sdk === 'sdk' ? 1 : 2);
  }
  const again = await prepare();
  await again.client.connect(again.transport);
  return again.client;
}

const run = (client, operation) =>
  operation.list
    ? client.listTools()
    : client.callTool({ name: operation.call, arguments: operation.arguments ?? {} });

async function stay(client) {
  say({ ready: true });
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    say(await run(client, JSON.parse(line.value)).then((result) => ({ result }), (error) => ({ refused: error.message })));
  }
  process.exit(0);
}

try {
  const client = await open();
  if (!job.operations) await stay(client);
  const results = [];
  for (const operation of job.operations) results.push(await run(client, operation));
  const protocol = client.getNegotiatedProtocolVersion?.() ?? client.transport?.protocolVersion ?? null;
  process.stdout.write(JSON.stringify({ protocol, results, accessToken: authProvider?.kept.tokens.access_token }));
  await client.close();
  process.exit(0);
} catch (error) {
  process.stderr.write(JSON.stringify({ name: error.name, message: error.message, code: error.code ?? null }));
  process.exit(1);
}
