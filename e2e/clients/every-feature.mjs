// One of the official TypeScript clients, driven through every feature of the protocol:
//   node every-feature.mjs '{"sdk":"client|sdk","mode":"legacy|2026-07-28","url":"…","headers":{},"prefix":"","scheme":"","features":[…]}'
// Prints what each feature showed: {"tools":"ok",…}. On a toolkit names begin with "prefix" and URIs with "scheme".
const job = JSON.parse(process.argv[2]);
const patience = 20_000;
const identity = { name: 'switchboard-matrix', version: '1' };
const capabilities = { elicitation: { form: {} }, sampling: {} };
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const elicited = async () => ({ action: 'accept', content: { colour: 'green' } });
const sampled = async () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'Paris' } });

async function connect(onPromptsChanged) {
  const url = new URL(job.url);
  const options = { requestInit: { headers: job.headers } };
  if (job.sdk === 'sdk') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const types = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(identity, { capabilities });
    client.setRequestHandler(types.ElicitRequestSchema, elicited);
    client.setRequestHandler(types.CreateMessageRequestSchema, sampled);
    client.setNotificationHandler(types.PromptListChangedNotificationSchema, onPromptsChanged);
    await client.connect(new StreamableHTTPClientTransport(url, options));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = job.mode === 'legacy' ? 'legacy' : { pin: job.mode };
  const client = new Client(identity, {
    capabilities,
    versionNegotiation: { mode },
    listChanged: { prompts: { autoRefresh: false, onChanged: onPromptsChanged } },
  });
  client.setRequestHandler('elicitation/create', elicited);
  client.setRequestHandler('sampling/createMessage', sampled);
  await client.connect(new StreamableHTTPClientTransport(url, options));
  return client;
}

const call = (client, name, args = {}, options = {}) =>
  job.sdk === 'sdk'
    ? client.callTool({ name: job.prefix + name, arguments: args }, undefined, options)
    : client.callTool({ name: job.prefix + name, arguments: args }, options);
const text = (result) => result.content[0].text;
const expect = (good, shown) => (good ? 'ok' : JSON.stringify(shown));

const features = {
  async tools(client) {
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    const sum = text(await call(client, 'add', { a: 2, b: 40 }));
    return expect(names.includes(`${job.prefix}add`) && sum.includes('42'), [names, sum]);
  },
  async resources(client) {
    const listed = (await client.listResources()).resources.map((resource) => resource.uri);
    const templates = (await client.listResourceTemplates()).resourceTemplates.length;
    const note = (await client.readResource({ uri: `${job.scheme}matrix://note` })).contents[0].text;
    const item = (await client.readResource({ uri: `${job.scheme}matrix://item/7` })).contents[0].text;
    const seen = [listed, templates, note, item];
    return expect(JSON.stringify(seen) === `[["${job.scheme}matrix://note"],1,"the note","item 7"]`, seen);
  },
  async prompts(client) {
    const names = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
    const got = await client.getPrompt({ name: `${job.prefix}greet`, arguments: { name: 'Ada' } });
    return expect(names.includes(`${job.prefix}greet`) && got.messages[0].content.text === 'Say hello to Ada.', got);
  },
  async progress(client) {
    const told = [];
    await call(client, 'walk', {}, { onprogress: ({ progress }) => told.push(progress) });
    return expect(JSON.stringify(told) === '[1,2,3]', told);
  },
  async cancellation(client) {
    const count = async () => Number(text(await call(client, 'count_cancelled')));
    const before = await count();
    const stop = new AbortController();
    const waiting = call(client, 'wait', {}, { signal: stop.signal }).catch(() => {});
    await later(1000);
    stop.abort();
    await waiting;
    for (let tries = 0; tries < 50; tries += 1) {
      if ((await count()) > before) return 'ok';
      await later(200);
    }
    return 'the server still works on it';
  },
  async elicitation(client) {
    const said = text(await call(client, 'ask_person'));
    return expect(said === 'they like green', said);
  },
  async sampling(client) {
    const said = text(await call(client, 'ask_model'));
    return expect(said === 'it says Paris', said);
  },
  async list_changed(client, changed) {
    await later(500);
    await call(client, 'change');
    await changed;
    return 'ok';
  },
};

const seen = {};
for (const feature of job.features) {
  let onPromptsChanged;
  const changed = new Promise((resolve) => { onPromptsChanged = resolve; });
  const late = later(patience).then(() => { throw new Error(`nothing within ${patience} ms`); });
  late.catch(() => {});
  try {
    const client = await Promise.race([connect(onPromptsChanged), late]);
    seen[feature] = await Promise.race([features[feature](client, changed), late]);
    await Promise.race([client.close(), later(1000)]);
  } catch (error) {
    seen[feature] = `${error.name}: ${error.message}`.slice(0, 200);
  }
}
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
