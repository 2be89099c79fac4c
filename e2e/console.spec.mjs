// The console, in a browser with JavaScript: from nothing to a third-party server that is signed in to through a window of
// its provider, granted, and called. The server is real, and its authorization server is oidc-provider from npm.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { looksRight } from './look.mjs';
import { expect, freePort, signIn, test as base, until } from './switchboard.mjs';

const test = base.extend({
  // The address of an MCP server that wants a token of its own provider.
  server: async ({}, use) => {
    const children = [];
    const start = (script, more) => {
      const child = spawn(process.execPath, script, { env: { ...process.env, ...more }, stdio: 'ignore' });
      children.push(child);
    };
    const [behind, port] = [await freePort(), await freePort()];
    start([join('node_modules', '.bin', 'mcp-server-everything'), 'streamableHttp'], { PORT: String(behind) });
    start(['protected-server.mjs'], { PORT: String(port), MCP_URL: `http://127.0.0.1:${behind}/mcp` });
    const answers = (url) => fetch(url, { method: 'POST' }).then(() => true, () => false);
    await until('answering', () => answers(`http://127.0.0.1:${behind}/mcp`));
    await until('answering', () => answers(`http://127.0.0.1:${port}/mcp`));
    await use(`http://127.0.0.1:${port}/mcp`);
    for (const child of children) child.kill('SIGTERM');
  },
});

test.use({ more: { options: ['--allow-private-networks'], headless: true } });

const wrongs = (page) => {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  return wrong;
};

async function agree(page) {
  await page.locator('[name=login]').fill('ana');
  await page.locator('[name=password]').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

test('an admin gets from nothing to a server that is signed in to, granted and called', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  await expect(page.getByRole('heading', { name: 'No server is connected yet' })).toBeVisible();
  await looksRight(page, 'connections-empty');
  await page.getByRole('link', { name: 'Add the first server' }).click();
  await looksRight(page, 'find');
  await page.getByLabel('Name or address of an MCP server').fill('nothing-that-is-known');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('Nothing is known by that name');
  await looksRight(page, 'find-nothing');
  await page.getByLabel('Name or address of an MCP server').fill(server);
  await page.keyboard.press('Enter');
  await expect(page.getByText('Switchboard makes itself known there')).toBeVisible();
  await looksRight(page, 'new');
  await page.getByRole('button', { name: /^Add / }).click();
  const sign = page.getByRole('link', { name: /^Sign in with / });
  await expect(sign).toBeVisible();
  await looksRight(page, 'connection-sign-in');

  const [popup] = await Promise.all([page.waitForEvent('popup'), sign.click()]);
  await agree(popup);
  await expect(page.locator('.state').first()).toContainText('Connected', { timeout: 20_000 });
  await until('closed', () => popup.isClosed());
  await looksRight(page, 'connection');
  for (const [tab, name] of [['Who may use it', 'access'], ['Tools', 'tools'], ['Settings', 'settings']]) {
    await page.getByRole('navigation', { name: 'Of this connection' }).getByRole('link', { name: tab, exact: true }).click();
    await expect(page.getByRole('navigation', { name: 'Of this connection' }).getByRole('link', { name: tab, exact: true })).toHaveAttribute('aria-current', 'page');
    await looksRight(page, name);
  }
  await page.getByRole('link', { name: 'Connections' }).first().click();
  await looksRight(page, 'connections');
  // The form that looks a name up in vain answers 422, which Chromium writes down as an error.
  expect(wrong.filter((text) => !text.includes('422'))).toEqual([]);

  const [connection] = (await switchboard.api('GET', '/connections')).items;
  const answer = await switchboard.api('POST', `/connections/${connection.id}/tools/echo/call`, { arguments: { message: 'through' } });
  expect(JSON.stringify(answer)).toContain('through');
});

test('without JavaScript the sign-in takes the whole page, and a blocked window leaves a link', async ({ browser, switchboard, server }) => {
  test.slow();
  const made = await switchboard.api('POST', '/connections', { slug: 'vendor', url: server, auth_type: 'oauth' });
  const address = `${switchboard.url}/connections/${made.id}`;
  await until('looked at', async () => (await switchboard.api('GET', `/connections/${made.id}`)).status === 'needs_connection');
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(() => { window.open = () => null; });
  await page.goto(address);
  await signIn(page);
  await page.getByRole('link', { name: /^Sign in with / }).click();
  await expect(page.getByRole('link', { name: 'Open the sign-in page' })).toHaveAttribute('href', /\/connect\//);
  await context.close();

  const plain = await browser.newContext({ javaScriptEnabled: false });
  const bare = await plain.newPage();
  await bare.goto(address);
  await signIn(bare);
  await bare.getByRole('link', { name: /^(Sign in with|Open the sign-in again)/ }).click();
  await agree(bare);
  await expect(bare.getByRole('heading', { level: 1 })).toHaveText('vendor is connected');
  await bare.getByRole('link', { name: 'Go to the connection' }).click();
  await expect(bare.locator('.state').first()).toContainText(/Connected|Checking/);
  await plain.close();
});

test('every state is told in words, and a configuration becomes connections after a look', async ({ page, switchboard, server }) => {
  test.slow();
  const nobody = `http://127.0.0.1:${await freePort()}/mcp`;
  const add = (slug, more) => switchboard.api('POST', '/connections', { slug, name: `The ${slug} one`, url: nobody, auth_type: 'none', ...more });
  await add('off', { enabled: false });
  await add('keyless', { auth_type: 'api_key' });
  await add('waiting', { url: server, auth_type: 'oauth' });
  const down = await add('down', {});
  await until('looked at', async () => (await switchboard.api('GET', `/connections/${down.id}`)).status === 'unreachable');
  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  for (const words of ["Can't reach The down one", 'Needs a key', 'Sign in', 'Off']) {
    await expect(page.locator('.state', { hasText: words }).first()).toBeVisible();
  }
  await looksRight(page, 'connections-states');
  await page.getByRole('link', { name: 'The down one' }).click();
  await page.getByText('Details').click();
  await looksRight(page, 'connection-down');
  await page.goto(`${switchboard.url}/connections?q=nothing+like+it`);
  await expect(page.getByText('No connection fits')).toBeVisible();
  await looksRight(page, 'connections-none-fits');

  await page.goto(`${switchboard.url}/connections/import`);
  await page.getByLabel('The configuration of an AI client').fill('not JSON');
  await page.getByRole('button', { name: 'Look at it' }).click();
  await expect(page.getByRole('alert')).toContainText('not JSON');
  const servers = { linear: { url: nobody, headers: { Authorization: 'Bearer ${KEY}' } }, files: { command: 'npx' } };
  await page.getByLabel('The configuration of an AI client').fill(JSON.stringify({ mcpServers: servers }));
  await page.getByRole('button', { name: 'Look at it' }).click();
  await expect(page.getByText('which the file does not have')).toBeVisible();
  await looksRight(page, 'import');
  await page.getByRole('button', { name: 'Add the chosen' }).click();
  await expect(page.getByRole('heading', { name: 'What became of them' })).toBeVisible();
  await looksRight(page, 'imported');
});
