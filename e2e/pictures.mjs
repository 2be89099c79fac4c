// The pictures of the documentation, taken of the real product with real MCP servers in it, so that they show what is there.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, freePort, signIn, test as base, until } from './switchboard.mjs';

const into = fileURLToPath(new URL('../docs/guide/pictures/', import.meta.url));
const module = (name) => join('node_modules', '.bin', name);

// Name, slug, and how each is started on a port.
const servers = [
  ['Everything', 'everything', [module('mcp-server-everything'), 'streamableHttp'], (port) => ({ PORT: String(port) })],
  ['Notion', 'notion', (port) => [module('notion-mcp-server'), '--transport', 'http', '--auth-token', 'for-the-picture', '--port', String(port)]],
  ['Charts', 'charts', (port) => [module('mcp-server-chart'), '--transport', 'streamable', '--port', String(port)]],
];

const test = base.extend({
  addresses: async ({}, use) => {
    const children = [];
    const addresses = [];
    for (const [, , command, environment = () => ({})] of servers) {
      const port = await freePort();
      const given = typeof command === 'function' ? command(port) : command;
      children.push(spawn(process.execPath, given, { env: { ...process.env, ...environment(port) }, stdio: 'ignore' }));
      addresses.push(`http://127.0.0.1:${port}/mcp`);
    }
    const ledger = await freePort();
    const protectedBy = { PORT: String(ledger), MCP_URL: addresses[0] };
    children.push(spawn(process.execPath, ['protected-server.mjs'], { env: { ...process.env, ...protectedBy }, stdio: 'ignore' }));
    addresses.push(`http://127.0.0.1:${ledger}/mcp`);
    for (const url of addresses) await until(`${url} answers`, () => fetch(url, { method: 'POST' }).then(() => true, () => false));
    await use(addresses);
    for (const child of children) child.kill('SIGTERM');
  },
});
test.use({ more: { options: ['--allow-private-networks'], headless: true } });

// What an organization looks like after a day: servers, people, a toolkit, a rule, calls, something that waits.
async function furnish({ api }, addresses) {
  const named = [...servers.map(([name, slug]) => [name, slug]), ['Ledger', 'ledger']];
  const ids = {};
  for (const [number, [name, slug]] of named.entries()) {
    const more = slug === 'ledger' ? { auth_type: 'oauth' } : slug === 'notion' ? { auth_type: 'api_key', api_key: { value: 'for-the-picture' } } : { auth_type: 'none' };
    const made = await api('POST', '/connections', { slug, name, url: addresses[number], model_intent: true, ...more });
    ids[slug] = made.id;
    await api('PUT', `/connections/${made.id}/grants`, { everyone: true });
    const settled = ['connected', 'needs_connection'];
    await until(`${slug} looked at`, async () => settled.includes((await api('GET', `/connections/${made.id}`)).status));
  }
  await api('POST', '/teams', { name: 'Keepers' });
  await api('POST', '/invitations', { email: 'jo@example.com', role: 'member' });
  await api('POST', '/toolkits', { slug: 'research', name: 'Research', patterns: ['notion.API-post-search', 'charts.*'], surface: 'direct' });
  await api('PUT', '/policies', [
    { pattern: 'notion.API-delete-a-block', action: 'block' },
    { pattern: 'everything.get-sum', action: 'require_approval' },
  ]);
  const call = (slug, tool, body) => api('POST', `/connections/${ids[slug]}/tools/${tool}/call`, body).catch((refused) => refused);
  for (const message of ['The lamp is lit.', 'The glass is clean.', 'Fog before dawn.']) {
    await call('everything', 'echo', { arguments: { message }, intent: 'Write the keeper\'s log' });
  }
  await call('everything', 'get-sum', { arguments: { a: 20, b: 22 }, intent: 'Add up the oil of both nights' });
  return ids;
}

test('pictures', async ({ page, switchboard, addresses }) => {
  mkdirSync(into, { recursive: true });
  const ids = await furnish(switchboard, addresses);
  const [waiting] = (await switchboard.api('GET', '/approvals')).items;
  await page.setViewportSize({ width: 1100, height: 760 });
  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Connections');
  for (const [name, path] of [
    ['overview', '/overview'],
    ['connections', '/connections'],
    ['connection', `/connections/${ids.everything}`],
    ['toolkits', '/toolkits'],
    ['tools', '/tools?q=draw+a+chart+of+prices'],
    ['policies', '/policies'],
    ['approval', `/approvals/${waiting.id}`],
    ['audit', '/audit'],
    ['members', '/members'],
    ['connect-your-app', '/'],
  ]) {
    const answer = await page.goto(switchboard.url + path);
    expect(answer.ok(), path).toBe(true);
    await page.screenshot({ path: join(into, `${name}.png`) });
  }
});
