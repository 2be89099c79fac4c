// Every text that somebody else decides, on every page: the lines of testdata/security/xss_strings.txt as names of connections,
// teams, toolkits, tokens and clients, in what a server says about itself and its tools, in what agents intend. A browser then
// follows every link there is. Nothing may run, nothing may be asked of another host, no policy may have had to stop anything,
// and no link may lead nowhere. `SWITCHBOARD_TEST_LONG` looks at every page of each kind instead of a few.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, freePort, signIn, test as base, until } from './switchboard.mjs';

const file = fileURLToPath(new URL('../testdata/security/xss_strings.txt', import.meta.url));
const texts = readFileSync(file, 'utf8').split('\n').filter(Boolean);
const each = process.env.SWITCHBOARD_TEST_LONG ? Infinity : 4;

const test = base.extend({
  hostile: async ({}, use) => {
    const port = await freePort();
    const child = spawn(process.execPath, ['hostile-server.mjs'], { env: { ...process.env, PORT: String(port), TEXTS: file }, stdio: 'inherit' });
    const url = `http://127.0.0.1:${port}/mcp`;
    await until('answering', () => fetch(url).then(() => true, () => false));
    await use(url);
    child.kill('SIGTERM');
  },
});
test.use({ more: { options: ['--allow-private-networks'], headless: true } });

// What the API refuses as a name is refused; what it takes must be harmless.
async function offer(api, ...request) {
  try {
    return await api(...request);
  } catch (refused) {
    expect(String(refused)).toMatch(/: 4\d\d /);
    return undefined;
  }
}

async function fill({ api }, server) {
  const hostile = await api('POST', '/connections', { slug: 'hostile', name: texts[0], url: server, auth_type: 'none', model_intent: true });
  await until('looked at', async () => (await api('GET', `/connections/${hostile.id}`)).status === 'connected');
  await api('PUT', `/connections/${hostile.id}/grants`, { everyone: true });
  let taken = 0;
  const clients = [];
  for (const [number, text] of texts.entries()) {
    const client = await offer(api, 'POST', '/oauth-clients', { name: text, redirect_uris: ['https://example.com/back'] });
    if (client) clients.push(client.client_id);
    const made = [
      client,
      await offer(api, 'POST', '/connections', { slug: `c${number}`, name: text, url: server, auth_type: 'none', enabled: false }),
      await offer(api, 'POST', '/teams', { name: text }),
      await offer(api, 'POST', '/toolkits', { slug: `t${number}`, name: text, patterns: ['hostile.*'] }),
      await offer(api, 'POST', '/tokens', { name: text, scopes: ['mcp:read'] }),
      await offer(api, 'POST', '/service-accounts', { name: text }),
    ];
    taken += made.filter(Boolean).length;
    await api('POST', `/connections/${hostile.id}/tools/tool_${number}/call`, { arguments: { plain: text }, intent: text });
  }
  expect(taken, 'most of it is somebody\'s name somewhere').toBeGreaterThan(3 * texts.length);
  const asked = [1, 10, 11];
  await api('PUT', '/policies', asked.map((number) => ({ pattern: `hostile.tool_${number}`, action: 'require_approval' })));
  for (const number of asked) {
    await offer(api, 'POST', `/connections/${hostile.id}/tools/tool_${number}/call`, { arguments: { plain: texts[number] }, intent: texts[number] });
  }
  return clients;
}

// What turns text round, or hides in it: a page writes it out instead.
const hidden = /[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/u;

// A button that decides something is where it belongs, with nothing over it.
async function isReachable(page, name) {
  const button = page.getByRole('button', { name });
  await button.scrollIntoViewIfNeeded();
  return button.evaluate((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
  });
}

// What belongs to one kind of page: the address without what says which.
const kind = (address) => {
  const { pathname, searchParams } = new URL(address);
  const path = pathname.replace(/\b[a-z]+_[0-9a-z]{26}\b/g, '{id}').replace(/\/(tool_|[ct])\d+/g, '/{name}');
  return `${path}?${[...searchParams.keys()].sort().join('&')}`;
};

test('no text of anybody else\'s runs, loads or breaks anything on any page, and no link leads nowhere', async ({ page, switchboard, hostile }) => {
  test.setTimeout(15 * 60_000);
  const clients = await fill(switchboard, hostile);
  const wrong = [];
  await page.exposeFunction('__xss', (which) => wrong.push(`${page.url()}: ran ${which}`));
  await page.exposeFunction('__violated', (what) => wrong.push(`${page.url()}: policy stopped ${what}`));
  await page.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) => window.__violated(`${event.violatedDirective} ${event.blockedURI}`)));
  page.on('dialog', (dialog) => { wrong.push(`${page.url()}: asked "${dialog.message()}"`); dialog.dismiss(); });
  page.on('request', (request) => new URL(request.url()).origin === switchboard.url || wrong.push(`${page.url()}: asked for ${request.url()}`));
  page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error}`));

  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Connections');
  const waiting = [`${switchboard.url}/`, page.url()];
  const known = new Set(waiting);
  const seen = new Map();
  const shown = new Set();
  while (waiting.length) {
    const address = waiting.shift();
    const times = seen.get(kind(address)) ?? 0;
    if (times >= each) continue;
    seen.set(kind(address), times + 1);
    const before = wrong.length;
    const answer = await page.goto(address, { waitUntil: 'load' });
    if (!answer.ok()) wrong.push(`${address}: ${answer.status()}`);
    const [body, links] = await page.evaluate(() => {
      for (const details of document.querySelectorAll('details')) details.open = true;
      const values = [...document.querySelectorAll('input, textarea')].map((field) => field.value);
      const hrefs = [...document.querySelectorAll('a[href]')].filter((a) => !a.hasAttribute('download')).map((a) => a.href);
      return [[document.body.innerText, ...values].join('\n'), hrefs];
    });
    for (const text of texts) if (body.includes(text)) shown.add(text);
    if (hidden.test(body)) wrong.push(`${address}: shows ${JSON.stringify(body.split('\n').find((line) => hidden.test(line)))}`);
    for (const link of links.map((link) => link.replace(/#.*/, ''))) {
      const there = link.startsWith(`${switchboard.url}/`) && !/\/(api|connect)\//.test(new URL(link).pathname);
      if (there && !known.has(link)) known.add(link) && waiting.push(link);
    }
    expect(wrong.slice(before), address).toEqual([]);
  }
  console.log([...seen].map(([page, times]) => `${String(times).padStart(4)} ${page}`).sort((a, b) => (a.slice(5) < b.slice(5) ? -1 : 1)).join('\n'));
  const challenge = createHash('sha256').update('a verifier').digest('base64url');
  for (const client of clients) {
    const question = { client_id: client, redirect_uri: 'https://example.com/back', response_type: 'code', code_challenge: challenge, code_challenge_method: 'S256', resource: `${switchboard.url}/mcp` };
    await page.goto(`${switchboard.url}/oauth/authorize?${new URLSearchParams(question)}`);
    for (const name of ['Allow', 'Deny']) expect(await isReachable(page, name), `${name} for ${client}`).toBe(true);
    expect(hidden.test(await page.locator('body').innerText())).toBe(false);
  }
  for (const { id } of (await switchboard.api('GET', '/approvals')).items) {
    await page.goto(`${switchboard.url}/approvals/${id}`);
    for (const name of ['Approve', 'Decline']) expect(await isReachable(page, name), `${name} for ${id}`).toBe(true);
  }
  expect(wrong).toEqual([]);
  // Every text could be read somewhere, as text, but what is too long for any name, or what a browser shows otherwise than written.
  const written = (text) => text.length < 200 && text.trim() === text && !/\s{2}|[\p{C}\p{DI}\u2028\u2029]/u.test(text);
  expect(texts.filter((text) => written(text) && !shown.has(text))).toEqual([]);
});
