// Pages that say who may do what: toolkits, policies, AI clients, in a browser, looked at by axe.
import { createServer } from 'node:http';
import { expect, freePort, signIn, test, until, watch } from './switchboard.mjs';
import { looksRight } from './look.mjs';

// A form that is refused answers 409 or 422, which Chromium writes down as an error.
const wrongs = (page, url) => {
  const wrong = watch(page, url);
  return () => wrong.filter((text) => !/ (409|422) /.test(text));
};

test.use({ more: { options: ['--allow-private-networks'], headless: true } });

async function connect(switchboard, url, slug, name) {
  const made = await switchboard.api('POST', '/connections', { slug, name, url, auth_type: 'none' });
  await switchboard.api('PUT', `/connections/${made.id}/grants`, { everyone: true });
  await until('connected', async () => (await switchboard.api('GET', `/connections/${made.id}`)).status === 'connected');
  return made;
}

test('an admin makes a toolkit, says what is in it and whom it is for, and takes it away', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page, switchboard.url);
  await connect(switchboard, server, 'demo', 'Demo server');
  await connect(switchboard, server, 'spare', 'Spare server');
  await switchboard.api('PUT', '/policies', [{ pattern: '*.get-env', action: 'block' }, { pattern: 'demo.get-sum', action: 'require_approval' }]);
  await page.goto(`${switchboard.url}/toolkits`);
  await signIn(page);
  await expect(page.getByRole('heading', { name: 'No toolkit yet' })).toBeVisible();
  await looksRight(page, 'toolkits-empty');
  await page.getByRole('link', { name: 'Make the first toolkit' }).click();
  await looksRight(page, 'toolkit-new');
  await page.getByLabel('Name', { exact: true }).fill('Customer support');
  await page.getByLabel('Other patterns').fill('spare.ec*');
  await page.getByRole('button', { name: 'Make the toolkit' }).click();
  await expect(page.getByLabel('Other patterns')).toHaveAccessibleDescription(/is not a pattern/);
  await expect(page.getByLabel('Name', { exact: true })).toHaveValue('Customer support');
  await looksRight(page, 'toolkit-new-wrong');
  await page.getByLabel('Other patterns').fill('spare.echo\nspare.gone');
  await page.getByRole('checkbox', { name: /^Demo server/ }).check();
  await page.getByRole('button', { name: 'See what it shows' }).click();
  await expect(page.getByText('nothing that you can see')).toBeVisible();
  await looksRight(page, 'toolkit-new-preview');
  await page.getByRole('button', { name: 'Make the toolkit' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Customer support');
  await page.getByText('What to paste for which client').click();
  await page.locator('.tree summary').first().click();
  await expect(page.getByText('Blocked').first()).toBeVisible();
  await looksRight(page, 'toolkit');
  for (const [tab, name] of [['Choose tools', 'toolkit-tools'], ['Rules', 'toolkit-rules'], ['Who may use it', 'toolkit-people'], ['Settings', 'toolkit-settings']]) {
    await page.getByRole('link', { name: tab, exact: true }).first().click();
    await expect(page.getByRole('link', { name: tab, exact: true }).first()).toHaveAttribute('aria-current', 'page');
    await looksRight(page, name);
  }
  await page.getByRole('link', { name: 'Toolkits' }).first().click();
  await expect(page.getByRole('link', { name: 'Customer support' })).toBeVisible();
  await looksRight(page, 'toolkits');
  await page.getByRole('link', { name: 'Customer support' }).click();
  await page.getByRole('navigation', { name: 'Of this toolkit' }).getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel(/^Type customer-support/).fill('customer-support');
  await page.getByRole('button', { name: 'Delete the toolkit' }).click();
  await expect(page.getByRole('heading', { name: 'No toolkit yet' })).toBeVisible();
  expect(wrong()).toEqual([]);
});

test('rules are written with a preview, ordered by hand and by keyboard, and explained', async ({ page, browser, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page, switchboard.url);
  await connect(switchboard, server, 'demo', 'Demo server');
  await page.goto(`${switchboard.url}/policies`);
  await signIn(page);
  await looksRight(page, 'policies-empty');
  await page.getByRole('link', { name: 'Add the first rule' }).click();
  await looksRight(page, 'rule-new');
  await page.getByText('Pick from a list').click();
  await page.getByLabel('Find by name').fill('sum');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'demo.echo' })).toHaveCount(0);
  await looksRight(page, 'rule-picking');
  await page.getByRole('button', { name: 'demo.get-sum' }).click();
  await expect(page.getByLabel('Tools', { exact: true })).toHaveValue('demo.get-sum');
  await expect(page.locator('#preview')).toContainText('It matches 1 tool');
  await page.getByLabel('Tools', { exact: true }).fill('');
  await page.getByLabel('Tools', { exact: true }).pressSequentially('demo.e');
  await expect(page.locator('#preview')).toContainText('matches no tool');
  await page.getByLabel('Tools', { exact: true }).pressSequentially('cho');
  await expect(page.locator('#preview')).toContainText('It matches 1 tool');
  await page.getByLabel('Tools', { exact: true }).fill('demo.ec*');
  await expect(page.locator('#preview')).toContainText('is not a pattern');
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await expect(page.getByLabel('Tools', { exact: true })).toHaveAccessibleDescription(/is not a pattern/);
  await looksRight(page, 'rule-wrong');
  await page.getByLabel('Tools', { exact: true }).fill('demo.*');
  await expect(page.locator('#preview')).toContainText('Demo server');
  await looksRight(page, 'rule-preview');
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await expect(page.locator('[data-rules] li')).toHaveCount(1);
  const rules = [{ pattern: '*.echo', action: 'block' }, { pattern: 'demo.*', action: 'require_approval', approvers: 'admins', second_person: true }, { pattern: 'demo.get-sum', action: 'allow', condition: 'args.a > 5' }, { pattern: 'gone.*', action: 'block' }];
  await switchboard.api('PUT', '/policies', rules);
  await page.reload();
  await expect(page.getByText('Never counts')).toBeVisible();
  await looksRight(page, 'policies');
  const patterns = async () => (await switchboard.api('GET', '/policies')).map(({ pattern }) => pattern);
  // By keyboard.
  await page.getByRole('button', { name: 'Move rule 3, demo.get-sum, up' }).focus();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#rule-2$/);
  expect(await patterns()).toEqual(['*.echo', 'demo.get-sum', 'demo.*', 'gone.*']);
  // By hand.
  await page.setViewportSize({ width: 1280, height: 1000 });
  await page.locator('[data-position="4"] .rule').dragTo(page.locator('[data-position="1"] .rule'), { targetPosition: { x: 5, y: 2 } });
  await until('moved', async () => (await patterns())[0] === 'gone.*');
  await expect(page.locator('[data-position="1"]')).toContainText('gone.*');
  await page.getByRole('link', { name: 'Edit rule 3, demo.get-sum' }).click();
  await expect(page.getByLabel('Only when')).toHaveValue('args.a > 5');
  await looksRight(page, 'rule-edit');
  await page.getByRole('link', { name: 'Why is it so?' }).click();
  await looksRight(page, 'explain-empty');
  await page.getByLabel('Tool', { exact: true }).fill('demo.get-sum');
  await page.getByRole('button', { name: 'Explain' }).click();
  await expect(page.locator('.state', { hasText: 'Up to its arguments' })).toBeVisible();
  await looksRight(page, 'explain');
  await page.getByRole('link', { name: 'Only yours' }).click();
  await looksRight(page, 'policies-mine');
  expect(wrong()).toEqual([]);

  const plain = await browser.newContext({ javaScriptEnabled: false });
  const bare = await plain.newPage();
  await bare.goto(`${switchboard.url}/policies/rule`);
  await signIn(bare);
  await bare.getByLabel('Tools', { exact: true }).fill('demo.echo');
  await bare.getByRole('button', { name: 'See what it matches' }).click();
  await expect(bare.locator('#preview')).toContainText('It matches 1 tool');
  await plain.close();
});

// A client that registers itself and is allowed: the steps that every one takes.
async function clientSignsIn(page, url) {
  const port = await freePort();
  const answered = new Promise((resolve) => {
    const listener = createServer((request, response) => {
      response.end('You can close this window.');
      if (request.url.startsWith('/callback')) { resolve(new URL(request.url, 'http://127.0.0.1').searchParams.get('code')); listener.close(); }
    });
    listener.listen(port, '127.0.0.1');
  });
  const headers = { 'user-agent': 'example-agent/1.0' };
  await fetch(`${url}/mcp`, { method: 'POST', headers });
  await fetch(`${url}/.well-known/oauth-protected-resource/mcp`, { headers });
  await fetch(`${url}/.well-known/oauth-authorization-server`, { headers });
  const redirect = `http://127.0.0.1:${port}/callback`;
  const register = { client_name: 'Example Agent', redirect_uris: [redirect], token_endpoint_auth_method: 'none' };
  const registered = await fetch(`${url}/oauth/register`, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(register) });
  const { client_id: client } = await registered.json();
  const asked = { response_type: 'code', client_id: client, redirect_uri: redirect, code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256', state: 's' };
  await page.goto(`${url}/oauth/authorize?${new URLSearchParams(asked)}`);
  await page.getByRole('button', { name: 'Allow' }).click();
  const code = await answered;
  const form = { grant_type: 'authorization_code', client_id: client, code, redirect_uri: redirect, code_verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk' };
  const token = await fetch(`${url}/oauth/token`, { method: 'POST', headers, body: new URLSearchParams(form) });
  return (await token.json()).access_token;
}

test('an overview leads a new organization to its first call, and then says how things are', async ({ page, switchboard, server }) => {
  test.slow();
  await page.goto(`${switchboard.url}/overview`);
  await signIn(page);
  await expect(page.getByRole('heading', { name: 'Getting started' })).toBeVisible();
  await looksRight(page, 'overview-new');
  const demo = await connect(switchboard, server, 'demo', 'Demo server');
  const nobody = `http://127.0.0.1:${await freePort()}/mcp`;
  const down = await switchboard.api('POST', '/connections', { slug: 'down', name: 'The one that is down', url: nobody, auth_type: 'none', staged: true });
  await until('looked at', async () => (await switchboard.api('GET', `/connections/${down.id}`)).status === 'unreachable');
  await page.reload();
  await looksRight(page, 'overview-half');
  await switchboard.api('PUT', '/policies', [{ pattern: 'demo.get-env', action: 'block' }]);
  const call = (tool, body) => switchboard.api('POST', `/connections/${demo.id}/tools/${tool}/call`, { arguments: body }).catch(() => undefined);
  for (let count = 0; count < 6; count += 1) await call('echo', { message: 'x' });
  await call('get-env', {});
  await until('counted', async () => { await page.reload(); return page.getByText('7 calls').first().isVisible(); });
  await looksRight(page, 'overview');
  await page.getByRole('link', { name: 'The one that is down' }).click();
  await looksRight(page, 'connection-staged');
  await page.goto(`${switchboard.url}/connections`);
  await expect(page.getByText('1 connection is staged')).toBeVisible();
  await looksRight(page, 'connections-staged');
  await page.getByRole('button', { name: 'Publish it' }).click();
  await expect(page.getByText('1 was published')).toBeVisible();
  await page.goto(`${switchboard.url}/connections/${demo.id}/activity`);
  await expect(page.getByRole('row')).toHaveCount(8);
  await looksRight(page, 'activity');
  await page.getByLabel('How it went').selectOption('tool_error');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await expect(page.getByText('No call fits')).toBeVisible();
  await looksRight(page, 'activity-none-fits');
  await page.goto(`${switchboard.url}/connections/new`);
  await looksRight(page, 'find-logos');
});

test('the way of each AI client in is told step by step, and it is kept out again', async ({ page, switchboard }) => {
  test.slow();
  await page.goto(`${switchboard.url}/clients`);
  await signIn(page);
  await expect(page.getByRole('heading', { name: 'Nobody signed in with a client yet' })).toBeVisible();
  await looksRight(page, 'clients-empty');
  await fetch(`${switchboard.url}/mcp`, { method: 'POST', headers: { 'user-agent': 'curl/8.0' } });
  const token = await clientSignsIn(page, switchboard.url);
  const call = () => fetch(`${switchboard.url}/mcp`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'example', version: '1' } } }) });
  expect((await call()).status).toBe(200);
  await page.goto(`${switchboard.url}/clients`);
  await expect(page.getByText('It did not ask how to sign in')).toBeVisible();
  await looksRight(page, 'clients');
  await page.getByRole('link', { name: 'Example Agent' }).click();
  await until('noted', async () => { await page.reload(); return page.getByText('Came with its token for the first time').isVisible(); });
  await looksRight(page, 'client');
  await page.getByRole('button', { name: 'Keep it out' }).click();
  await expect(page.getByText('Kept out', { exact: false }).first()).toBeVisible();
  await looksRight(page, 'client-kept-out');
  expect((await call()).status).toBe(401);
  await page.goto(`${switchboard.url}/clients/new`);
  await page.getByLabel('Name').fill('Studio');
  await page.getByLabel('Redirect addresses').fill('ftp://nowhere');
  await page.getByRole('button', { name: 'Make the client' }).click();
  await expect(page.getByLabel('Redirect addresses')).toHaveValue('ftp://nowhere');
  await looksRight(page, 'client-new-wrong');
  await page.getByLabel('Redirect addresses').fill('https://studio.example/callback');
  await page.getByLabel('It can keep a secret').check();
  await page.getByRole('button', { name: 'Make the client' }).click();
  await expect(page.getByText('It is shown this once')).toBeVisible();
});
