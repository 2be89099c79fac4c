// A clean machine, an owner without a browser, an invited member: every real client signs its person in with only the URL, in a
// real browser, and calls a tool; when the member is removed, it is out within a second.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agents } from './agents.mjs';
import { expect, freePort, test as base, until, watch } from './switchboard.mjs';

const mia = { email: 'mia@example.com', name: 'Mia', password: 'lantern gravel quiet orbit' };
const sum = ['execute_capability', { name: 'everything.get-sum', arguments: { a: 2, b: 40 } }];

const test = base.extend({
  // A server with tools that everyone in the organization may use.
  everything: async ({ switchboard }, use) => {
    const port = await freePort();
    const program = fileURLToPath(new URL('node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url));
    const child = spawn(process.execPath, [program, 'streamableHttp'], { env: { PORT: `${port}` }, stdio: 'ignore' });
    try {
      const url = `http://127.0.0.1:${port}/mcp`;
      await until('the server answering', () => fetch(url).then(() => true, () => false));
      const fields = { slug: 'everything', name: 'Everything', url, transport: 'streamable_http', auth_type: 'none' };
      const { id } = await switchboard.api('POST', '/connections', fields);
      await switchboard.api('PUT', `/connections/${id}/grants`, { everyone: true });
      const status = async () => (await switchboard.api('GET', `/connections/${id}`)).status;
      await until('connected', async () => (await status()) === 'connected');
      await use();
    } finally {
      child.kill('SIGKILL');
    }
  },
  // Where a client keeps what it has.
  home: async ({}, use) => {
    const directory = mkdtempSync(join(tmpdir(), 'switchboard-agent-'));
    await use(directory);
    rmSync(directory, { recursive: true, force: true });
  },
});
test.use({ more: { options: ['--allow-private-networks'], headless: true } });

// Accepts the invitation, and leaves: the cookie of that visit does not come along.
async function accept(browser, link) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(link);
  await page.getByLabel('Your name').fill(mia.name);
  await page.getByLabel('Password').fill(mia.password);
  await page.getByRole('button', { name: 'Join' }).click();
  await expect(page.getByRole('heading', { level: 1 })).not.toHaveText(/^Join/);
  await context.close();
}

// Signs in and allows; the address that the client's answer goes to.
async function allow(page, switchboard, link) {
  const callback = new URL(link).searchParams.get('redirect_uri');
  const listens = await fetch(callback, { method: 'HEAD' }).then(() => true, () => false);
  if (!listens) await page.route(`${callback}?*`, (route) => route.fulfill({ body: 'Back at the client.' }));
  const wrong = watch(page, switchboard.url, new URL(callback).origin);
  await page.goto(link);
  await page.getByLabel('Email address').fill(mia.email);
  await page.getByLabel('Password').fill(mia.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByText('Unverified')).toBeVisible();
  await expect(page.getByText(`${switchboard.url}/mcp`)).toBeVisible();
  // What comes after is the client's own page.
  expect(wrong).toEqual([]);
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.waitForURL(`${callback}?*`);
  return page.url();
}

for (const { name, start } of agents) {
  test(`${name}: the URL is enough, and a removed member is out within a second`, async ({ browser, page, switchboard, everything, home }) => {
    const { url: invitation } = await switchboard.api('POST', '/invitations', { email: mia.email });
    await accept(browser, invitation);
    const agent = await start(`${switchboard.url}/mcp`, home);
    try {
      await agent.answered(await allow(page, switchboard, await agent.link));
      const { content } = await agent.call(...sum);
      expect(content[0].text).toContain('The sum of 2 and 40 is 42.');

      const { items: members } = await switchboard.api('GET', '/members');
      const member = members.find(({ email }) => email === mia.email);
      const { items: entries } = await switchboard.api('GET', '/audit?limit=100');
      const called = entries.find(({ action }) => action === 'capability.execute');
      expect(called.actor.id).toBe(member.id);

      await switchboard.api('DELETE', `/members/${member.id}`);
      const removed = Date.now();
      for (;;) {
        const begun = Date.now() - removed;
        const answer = await agent.call(...sum).catch((error) => error);
        if (answer instanceof Error || answer.isError) break;
        expect(begun, 'a call that began a second after its member was removed').toBeLessThan(1000);
      }
    } finally {
      await agent.close();
    }
  });
}
