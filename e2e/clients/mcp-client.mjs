// One of the two official TypeScript clients, driven from outside:
//   node mcp-client.mjs '{"sdk":"client|sdk","mode":"legacy|auto|2026-07-28","url":"…","headers":{},"operations":[…]}'
// An operation is {"list":true} or {"call":NAME,"arguments":{…}}. Prints {"protocol":…,"results":[…]}.

const job = JSON.parse(process.argv[2]);
const identity = { name: 'switchboard-peer-test', version: '1' };

async function open() {
  const url = new URL(job.url);
  const requestInit = { headers: job.headers };
  if (job.sdk === 'sdk') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(identity);
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = ['legacy', 'auto'].includes(job.mode) ? job.mode : { pin: job.mode };
  const client = new Client(identity, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
  return client;
}

try {
  const client = await open();
  const results = [];
  for (const operation of job.operations) {
    results.push(
      operation.list
        ? await client.listTools()
        : await client.callTool({ name: operation.call, arguments: operation.arguments ?? {} }),
    );
  }
  const protocol = client.getNegotiatedProtocolVersion?.() ?? client.transport?.protocolVersion ?? null;
  process.stdout.write(JSON.stringify({ protocol, results }));
  await client.close();
  process.exit(0);
} catch (error) {
  process.stderr.write(JSON.stringify({ name: error.name, message: error.message, code: error.code ?? null }));
  process.exit(1);
}
