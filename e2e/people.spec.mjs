// Pages of the console beside connections: tools, people, records and settings, in a browser, looked at by axe.
import { expect, signIn, test, until } from './switchboard.mjs';
import { looksRight } from './look.mjs';

test.use({ more: { options: ['--allow-private-networks'], headless: true } });

// What a page must never do: run afoul of its own policy, or fail in its scripts. A form that is refused answers 422.
const wrongs = (page) => {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && !/40[49]|422|^htmx:sendAbort|^htmx:afterRequest/.test(message.text()) && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  return wrong;
};

async function connect(switchboard, url) {
  const made = await switchboard.api('POST', '/connections', { slug: 'demo', name: 'Demo', url, auth_type: 'none' });
  await switchboard.api('PUT', `/connections/${made.id}/grants`, { everyone: true });
  await until('connected', async () => (await switchboard.api('GET', `/connections/${made.id}`)).status === 'connected');
  return made;
}

test('a person finds a tool by what it does, reads what it says and runs it', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/tools`);
  await signIn(page);
  await expect(page.getByText('No connection is granted to you yet')).toBeVisible();
  await looksRight(page, 'tools-empty');
  await connect(switchboard, server);
  await page.reload();
  await looksRight(page, 'tools');
  await page.getByLabel('What do you want to do?').fill('add two numbers');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Found by').first()).toBeVisible();
  await looksRight(page, 'tools-found');
  await page.getByLabel('What do you want to do?').fill('zzzzzz');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Nothing fits')).toBeVisible();
  await looksRight(page, 'tools-nothing');
  await page.goto(`${switchboard.url}/tools/tool?name=demo.get-sum`);
  await looksRight(page, 'tool');
  await page.getByLabel(/^a /).fill('1');
  await page.getByLabel(/^b /).fill('2');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(page.getByRole('status').first()).toContainText('The sum of 1 and 2 is 3');
  await looksRight(page, 'tool-ran');
  await page.getByText('Or write the arguments as JSON').click();
  await page.getByLabel('Arguments', { exact: true }).fill('{"a": "one", "b": 2}');
  await page.getByRole('button', { name: 'Run with this JSON' }).click();
  await expect(page.getByRole('alert')).toContainText("The arguments don't fit");
  await looksRight(page, 'tool-unfit');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy the command' }).click();
  await expect(page.getByRole('status').last()).toContainText('Copied the command');
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('/tools/get-sum/call');
  expect(wrong).toEqual([]);
});

test('an owner asks somebody in, puts them into a team, and keeps the last owner', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  const made = await switchboard.api('POST', '/connections', { slug: 'keyed', name: 'Keyed', url: server, auth_type: 'api_key', credential_mode: 'per_member' });
  await switchboard.api('PUT', `/connections/${made.id}/grants`, { everyone: true });
  await page.goto(`${switchboard.url}/members/teams`);
  await signIn(page);
  await expect(page.getByText('There is no team yet')).toBeVisible();
  await looksRight(page, 'teams-empty');
  await page.getByLabel('Name').fill('Keepers');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Keepers');
  await looksRight(page, 'team');
  await page.goto(`${switchboard.url}/members/invitations`);
  await expect(page.getByText('Nobody yet.')).toBeVisible();
  await looksRight(page, 'invitations-empty');
  await page.getByLabel('Email address').fill('mia@example.com');
  await page.getByLabel('Keepers').check();
  await page.getByRole('button', { name: 'Make the link' }).click();
  const link = await page.locator('pre[data-copy=link]').textContent();
  await looksRight(page, 'invitations-made');
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('This was sent before');
  await looksRight(page, 'sent-before');
  await page.getByRole('link', { name: 'Go on' }).click();
  await expect(page.getByRole('button', { name: 'Revoke the invitation of mia@example.com' })).toHaveCount(1);
  await page.goto(`${switchboard.url}/members/invitations`);
  await expect(page.getByText('Open', { exact: true })).toBeVisible();

  const context = await page.context().browser().newContext();
  const other = await context.newPage();
  await other.goto(link);
  await other.getByLabel('Your name').fill('Mia Moor');
  await other.getByLabel(/^Password/).fill('a quiet lantern by the sea');
  await other.getByRole('button').last().click();
  await other.goto(`${switchboard.url}/members`);
  await expect(other.getByRole('heading', { level: 1 })).toHaveText('Nothing here');
  await looksRight(other, 'nothing-here');
  await other.getByRole('link', { name: 'Toolkits' }).click();
  await expect(other.getByRole('heading', { level: 1 })).toHaveText('Toolkits');
  await context.close();

  await page.goto(`${switchboard.url}/members`);
  await expect(page.getByRole('row', { name: /Mia Moor/ })).toContainText('1 connection');
  await looksRight(page, 'members');
  await page.getByLabel('Name or email address').fill('nobody like this');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Nobody fits')).toBeVisible();
  await looksRight(page, 'members-none-fits');
  await page.getByRole('link', { name: 'Show everybody' }).click();
  await page.getByRole('link', { name: 'Mia Moor' }).click();
  await expect(page.getByText('Keyed')).toBeVisible();
  await looksRight(page, 'member');
  await page.getByRole('button', { name: 'Suspend' }).click();
  await expect(page.locator('.state', { hasText: 'Suspended' })).toBeVisible();
  await looksRight(page, 'member-suspended');
  await page.goto(`${switchboard.url}/members?role=owner`);
  await page.getByRole('row').last().getByRole('link').click();
  await expect(page.getByText("This is the organization's last owner")).toBeVisible();
  await looksRight(page, 'member-last-owner');
  expect(wrong).toEqual([]);
});

test('what happened is found, counted and looked into', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/usage`);
  await signIn(page);
  await expect(page.getByText('No calls in the last 7 days')).toBeVisible();
  await looksRight(page, 'usage-empty');
  const { id } = await connect(switchboard, server);
  for (const message of ['one', 'two', 'three']) await switchboard.api('POST', `/connections/${id}/tools/echo/call`, { arguments: { message }, intent: 'to see it' });
  await switchboard.api('POST', `/connections/${id}/tools/get-sum/call`, { arguments: { a: 'x' } }).catch(() => undefined);
  await until('on record', async () => (await switchboard.api('GET', '/audit?outcome=ok&action=capability.execute')).items.length === 3);
  await page.reload();
  await expect(page.getByText('4 calls in the last 7 days')).toBeVisible();
  await page.getByText('As a table').click();
  await looksRight(page, 'usage');
  await page.goto(`${switchboard.url}/audit`);
  await looksRight(page, 'audit');
  await page.getByLabel('How it ended').selectOption('ok');
  await page.getByLabel('Tool, or what was changed').fill('demo.echo');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('row')).toHaveCount(4);
  await page.getByRole('row').nth(1).getByRole('link').click();
  await expect(page.getByText('to see it')).toBeVisible();
  await looksRight(page, 'audit-entry');
  await page.goto(`${switchboard.url}/audit?actor=nobody`);
  await expect(page.getByRole('alert')).toContainText('neither the address');
  await looksRight(page, 'audit-wrong');
  expect(wrong).toEqual([]);
});

test('an AI client is set up, seen to arrive, and taken away again', async ({ page, browser, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  const { id } = await connect(switchboard, server);
  await page.goto(`${switchboard.url}/connect-client`);
  await signIn(page);
  await expect(page.getByText('Waiting for the first sign of your client')).toBeVisible();
  for (const app of ['Claude Code', 'Claude', 'ChatGPT', 'Cursor', 'Another']) {
    await page.getByRole('link', { name: app, exact: true }).click();
    await expect(page.getByRole('link', { name: app, exact: true })).toHaveAttribute('aria-current', 'page');
    await looksRight(page, `connect-${app.toLowerCase().replace(' ', '-')}`);
  }
  // An agent with a token of the same person: a call through the one endpoint.
  await page.goto(`${switchboard.url}/account/access`);
  await page.getByLabel('Name').fill('agent');
  await page.getByRole('button', { name: 'Make the token' }).click();
  const token = await page.locator('pre[data-copy=token]').textContent();
  await looksRight(page, 'access-made');
  await page.goto(`${switchboard.url}/connect-client?client=cursor`);
  const version = '2025-06-18';
  const ask = (method, params, session) => fetch(`${switchboard.url}/mcp`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': version, ...(session && { 'mcp-session-id': session }) },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const opened = await ask('initialize', { protocolVersion: version, capabilities: {}, clientInfo: { name: 'Fine Agent', version: '1' } });
  await ask('tools/call', { name: 'execute_capability', arguments: { name: 'demo.echo', arguments: { message: 'here' } } }, opened.headers.get('mcp-session-id'));
  await expect(page.getByText(/connected \d\d:\d\d UTC/)).toBeVisible();
  await looksRight(page, 'connect-arrived');
  await page.goto(`${switchboard.url}/account/access`);
  await looksRight(page, 'access');
  await page.getByRole('button', { name: 'Revoke the token agent' }).click();
  await expect(page.getByText('Revoked')).toBeVisible();
  expect((await ask('ping', {})).status).toBe(401);
  expect(id).toBeTruthy();
  expect(wrong).toEqual([]);

  const plain = await browser.newContext({ javaScriptEnabled: false });
  const bare = await plain.newPage();
  await bare.goto(`${switchboard.url}/connect-client?client=vscode`);
  await signIn(bare);
  await expect(bare.getByRole('link', { name: 'Open VS Code and add it' })).toHaveAttribute('href', /^vscode:mcp\/install\?/);
  await bare.getByRole('link', { name: 'Look now' }).click();
  await expect(bare.getByText('Waiting for the first sign')).toBeVisible();
  await plain.close();
});

test('settings are saved, a webhook is added, the system is looked at', async ({ page, switchboard }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/settings`);
  await signIn(page);
  await looksRight(page, 'settings');
  await page.getByRole('checkbox', { name: /^Hold calls of tools/ }).check();
  await page.getByLabel('Days after which entries are deleted').fill('soon');
  await page.getByRole('button', { name: 'Save the settings' }).click();
  await expect(page.getByRole('alert')).toContainText('“soon” is not a whole number');
  await looksRight(page, 'settings-wrong');
  await page.getByLabel('Days after which entries are deleted').fill('365');
  await page.getByRole('button', { name: 'Save the settings' }).click();
  await expect(page.getByRole('alert')).toHaveCount(0);
  expect((await switchboard.api('GET', '/organization')).settings).toMatchObject({ hold_destructive: true, audit_retention_days: 365 });
  await page.getByRole('link', { name: 'Webhooks' }).click();
  await expect(page.getByText('There is none yet')).toBeVisible();
  await looksRight(page, 'webhooks-empty');
  await page.getByLabel('Name').fill('Pager');
  await page.getByLabel('Address').fill('http://127.0.0.1:4321/hook');
  await page.getByRole('checkbox', { name: /^a call waits for approval/i }).check();
  await page.getByRole('button', { name: 'Add the webhook' }).click();
  await expect(page.locator('pre[data-copy=secret]')).toContainText('whsec_');
  await looksRight(page, 'webhooks-made');
  await page.getByRole('link', { name: 'System' }).click();
  await expect(page.getByText('SQLite answers')).toBeVisible();
  await looksRight(page, 'system');
  expect(wrong).toEqual([]);
});

test('a form that is sent after its session has ended is not lost', async ({ page, switchboard }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/members/teams`);
  await signIn(page);
  await page.getByLabel('Name').fill('Keepers of the <b>light</b>');
  // It ends elsewhere, while the page is open.
  for (const { id } of (await switchboard.api('GET', '/sessions')).items) await switchboard.api('DELETE', `/sessions/${id}`);
  await page.getByRole('button', { name: 'Make the team' }).click();
  await signIn(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('What you typed is still here');
  await looksRight(page, 'kept-form');
  expect((await switchboard.api('GET', '/teams')).items).toEqual([]);
  await page.getByRole('button', { name: 'Send it now' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Keepers of the <b>light</b>');
  expect(wrong).toEqual([]);
});
