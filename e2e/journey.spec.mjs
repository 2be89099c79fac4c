// From a program that was started for the first time to a call that a person approved, by two people in two browsers, with
// nothing but what is on the pages: a real server with a real provider, a real AI client, no call of the API.
// Then the admin's part of it once more, with the keyboard alone.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { agents } from './agents.mjs';
import { expect, freePort, makeOwner, owner, signIn, test as base, until } from './switchboard.mjs';

const bo = { name: 'Bo Hansen', email: 'bo@example.com', password: 'seven lanterns over the quay' };

const test = base.extend({
  // An MCP server as it is, and the same behind a provider of its own.
  servers: async ({}, use) => {
    const children = [];
    const start = (script, more) => children.push(spawn(process.execPath, script, { env: { ...process.env, ...more }, stdio: 'ignore' }));
    const [behind, port] = [await freePort(), await freePort()];
    const [open, signed] = [behind, port].map((port) => `http://127.0.0.1:${port}/mcp`);
    start([join('node_modules', '.bin', 'mcp-server-everything'), 'streamableHttp'], { PORT: String(behind) });
    start(['protected-server.mjs'], { PORT: String(port), MCP_URL: open });
    for (const url of [open, signed]) await until('answering', () => fetch(url, { method: 'POST' }).then(() => true, () => false));
    await use({ open, signed });
    for (const child of children) child.kill('SIGTERM');
  },
});
test.use({ more: { options: ['--allow-private-networks'] } });

// The provider's own pages, in the window that Switchboard opened.
async function signInAtProvider(page, login) {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('link', { name: /^Sign in with / }).first().click()]);
  await popup.locator('[name=login]').fill(login);
  await popup.locator('[name=password]').fill('any');
  await popup.getByRole('button', { name: 'Sign-in' }).click();
  await popup.getByRole('button', { name: 'Continue' }).click();
  await expect(page.locator('.state').first()).toContainText('Connected', { timeout: 20_000 });
  // Then the window says that it is done, and what is behind it looks once more.
  await until('closed', () => popup.isClosed());
  await page.waitForLoadState('networkidle');
}

async function addServer(page, switchboard, server) {
  await page.goto(`${switchboard.url}/connections/new`);
  await signIn(page);
  await page.getByLabel('Name or address of an MCP server').fill(server);
  await page.getByRole('button', { name: 'Look' }).click();
  await page.getByText('Name, address and how it knows who asks').click();
  await page.getByLabel('Short name').fill('log');
  await page.getByRole('button', { name: /^Add / }).click();
  await signInAtProvider(page, 'ana');
  await page.getByRole('link', { name: 'Who may use it', exact: true }).click();
  await page.getByRole('checkbox', { name: /^Everybody in the organization/ }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('checkbox', { name: /^Everybody in the organization/ })).toBeChecked();
}

async function invite(page, switchboard) {
  await page.goto(`${switchboard.url}/members`);
  await page.getByRole('link', { name: 'Invite somebody' }).click();
  await page.getByLabel('Email address').fill(bo.email);
  await page.getByRole('button', { name: 'Make the link' }).click();
  return page.locator('pre[data-copy=link]').textContent();
}

async function hold(page, switchboard, pattern) {
  await page.goto(`${switchboard.url}/policies`);
  await page.getByRole('link', { name: /^Add (the first|a) rule$/ }).click();
  await page.getByLabel('Tools', { exact: true }).fill(pattern);
  await page.getByRole('radio', { name: /^It waits for a person/ }).check();
  await page.getByRole('radio', { name: 'An admin' }).check();
  await page.getByRole('button', { name: 'Save the rule' }).click();
  await expect(page.locator('.rules')).toContainText(pattern);
}

// What an AI client of the member's gets from one call, as text.
const asked = async (agent, name, args) => JSON.stringify(await agent.call('execute_capability', { name, arguments: args }));

test('two people get from the first start to an approved call', async ({ browser, switchboard, servers }) => {
  test.setTimeout(300_000);
  await makeOwner(browser, switchboard.setupLink);
  const ana = await (await browser.newContext()).newPage();
  await addServer(ana, switchboard, servers.signed);
  const link = await invite(ana, switchboard);
  await hold(ana, switchboard, 'log.get-sum');

  const page = await (await browser.newContext()).newPage();
  await page.goto(link);
  await page.getByLabel('Your name').fill(bo.name);
  await page.getByLabel('Password').fill(bo.password);
  await page.getByRole('button', { name: 'Join' }).click();
  await expect(page.getByRole('heading', { level: 1 })).not.toHaveText(/^Join/);
  await page.goto(`${switchboard.url}/connections`);
  await signInAtProvider(page, 'bo');

  await page.goto(`${switchboard.url}/connect-client`);
  const url = `${switchboard.url}/mcp`;
  await expect(page.locator('pre', { hasText: url }).first()).toBeVisible();
  const agent = await agents.find(({ name }) => name === 'TypeScript client').start(url);
  try {
    const link = await agent.link;
    const callback = new URL(link).searchParams.get('redirect_uri');
    const consent = await page.context().newPage();
    await consent.route(`${callback}?*`, (route) => route.fulfill({ body: 'Back at the client.' }));
    await consent.goto(link);
    await consent.getByRole('button', { name: 'Allow' }).click();
    await consent.waitForURL(`${callback}?*`);
    await agent.answered(consent.url());

    expect(await asked(agent, 'log.echo', { message: 'the lamp is lit' })).toContain('the lamp is lit');
    const held = await asked(agent, 'log.get-sum', { a: 20, b: 22 });
    expect(held).toContain('approval_required');
    const [approval] = held.match(/apr_[0-9a-z]{26}/);

    await ana.goto(`${switchboard.url}/approvals`);
    await ana.locator(`a[href$="${approval}"]`).first().click();
    await expect(ana.getByText(bo.email)).toBeVisible();
    await ana.getByRole('button', { name: 'Approve once' }).click();
    await expect(ana.getByText(/approved/i).first()).toBeVisible();
    const answer = await agent.call('execute_capability', { name: 'log.get-sum', arguments: { a: 20, b: 22 }, approval_id: approval });
    expect(JSON.stringify(answer)).toContain('The sum of 20 and 22 is 42.');

    await expect(async () => {
      await ana.goto(`${switchboard.url}/audit?target=log.get-sum&outcome=ok`);
      await expect(ana.getByRole('row', { name: /get-sum/ }).first()).toContainText(bo.email, { timeout: 1000 });
    }).toPass();
    await expect(page.locator('[data-poll]')).toContainText(/connected .*Its first call/s, { timeout: 20_000 });
  } finally {
    await agent.close();
  }
});

// Presses Tab until the focus is on it: what can't be reached so can't be reached by a keyboard.
async function tabTo(page, locator) {
  for (let presses = 0; presses < 80; presses += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) {
      const outline = await locator.evaluate((element) => getComputedStyle(element).outlineStyle);
      expect(outline, 'where the focus is can be seen').not.toBe('none');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${locator}`);
}

test('the keyboard alone adds a server, finds a tool and runs it', async ({ browser, switchboard, servers }) => {
  test.slow();
  await makeOwner(browser, switchboard.setupLink);
  const page = await (await browser.newContext()).newPage();
  const { keyboard } = page;
  await page.goto(`${switchboard.url}/connections`);
  await tabTo(page, page.getByLabel('Email address'));
  await keyboard.type(owner.email);
  await tabTo(page, page.getByLabel('Password'));
  await keyboard.type(owner.password);
  await keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Connections');
  await tabTo(page, page.getByRole('link', { name: 'Add the first server' }));
  await keyboard.press('Enter');
  await tabTo(page, page.getByLabel('Name or address of an MCP server'));
  await keyboard.type(servers.open);
  await keyboard.press('Enter');
  const add = page.getByRole('button', { name: /^Add ./ }).last();
  await expect(add).toBeVisible();
  await tabTo(page, add);
  await keyboard.press('Enter');
  await expect(page.locator('.state').first()).toContainText('Connected', { timeout: 20_000 });

  await tabTo(page, page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tools' }));
  await keyboard.press('Enter');
  await tabTo(page, page.getByLabel('What do you want to do?'));
  await keyboard.type('echo a message');
  await keyboard.press('Enter');
  const found = page.getByRole('link', { name: /echo/i }).first();
  await expect(found).toBeVisible();
  await tabTo(page, found);
  await keyboard.press('Enter');
  await tabTo(page, page.getByLabel(/^message/));
  await keyboard.type('by keyboard');
  await tabTo(page, page.getByRole('button', { name: 'Run', exact: true }));
  await keyboard.press('Enter');
  await expect(page.getByRole('status').first()).toContainText('by keyboard');
});
