// Pages of the console beside connections: tools, people, records and settings, in a browser, looked at by axe.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, freePort, signIn, test as base, until } from './switchboard.mjs';
import { looksRight, wrongs } from './looks.mjs';

const test = base.extend({
  // The address of an MCP server that asks for no account.
  server: async ({}, use) => {
    const port = await freePort();
    const child = spawn(process.execPath, [join('node_modules', '.bin', 'mcp-server-everything'), 'streamableHttp'], { env: { ...process.env, PORT: String(port) }, stdio: 'ignore' });
    const url = `http://127.0.0.1:${port}/mcp`;
    await until('answering', () => fetch(url, { method: 'POST' }).then(() => true, () => false));
    await use(url);
    child.kill('SIGTERM');
  },
});

test.use({ more: { options: ['--allow-private-networks'], headless: true } });

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
