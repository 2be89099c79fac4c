// A Switchboard with nothing in it yet, and what it printed when it started.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test as base } from '@playwright/test';

const binary = process.env.SWITCHBOARD_BIN;

export function freePort() {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

export async function until(what, condition) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not ${what} after 30 s`);
}

// What a page must never do, whatever is on it: run afoul of its own policy, or reach for a host it has no business with.
export function watch(page, ...origins) {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => origins.includes(new URL(request.url()).origin) || wrong.push(`asked for ${request.url()}`));
  return wrong;
}

export const owner = { email: 'ana@example.com', password: 'four unrelated words here' };

// Makes the owner at the setup link, in a browser of their own: nobody is signed in elsewhere for it.
export async function makeOwner(browser, setupLink) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(setupLink);
  await page.getByLabel('Organization').fill('Lighthouse Keepers');
  await page.getByLabel('Your email address').fill(owner.email);
  await page.getByLabel('Password').fill(owner.password);
  await page.getByRole('button', { name: 'Make me the owner' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Switchboard is yours');
  await context.close();
}

export async function signIn(page) {
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
  await page.getByLabel('Email address').fill(owner.email);
  await page.getByLabel('Password').fill(owner.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

// An owner on a machine without a browser: made by command, who then does everything by the API.
function headlessOwner(run, directory, url) {
  const password = join(directory, 'password');
  writeFileSync(password, owner.password, { mode: 0o600 });
  run('create-owner', '--email', owner.email, '--password-file', password);
  const scopes = ['mcp:read', 'mcp:write', 'api'].flatMap((scope) => ['--scope', scope]);
  const { token } = JSON.parse(run('create-token', '--email', owner.email, ...scopes, '--json'));
  return async (method, path, body) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  };
}

export const test = base.extend({
  // The address of an MCP server that asks for no account, for tests that want one.
  server: async ({}, use) => {
    const port = await freePort();
    const child = spawn(process.execPath, [join('node_modules', '.bin', 'mcp-server-everything'), 'streamableHttp'], { env: { ...process.env, PORT: String(port) }, stdio: 'ignore' });
    const url = `http://127.0.0.1:${port}/mcp`;
    await until('answering', () => fetch(url, { method: 'POST' }).then(() => true, () => false));
    await use(url);
    child.kill('SIGTERM');
  },
  // What it is started with beside the address and the directory; `headless`: with an owner, and `api` to act as them.
  more: [{ options: [] }, { option: true }],
  switchboard: async ({ more }, use) => {
    const directory = mkdtempSync(join(tmpdir(), 'switchboard-e2e-'));
    const url = `http://127.0.0.1:${await freePort()}`;
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SWITCHBOARD_')));
    const given = ['--listen', url.replace('http://', ''), '--data-dir', join(directory, 'data'), ...more.options];
    const administer = (...args) =>
      execFileSync(binary, ['admin', ...args, '--data-dir', join(directory, 'data')], { env: environment, encoding: 'utf8' });
    const api = more.headless && headlessOwner(administer, directory, url);
    const child = spawn(binary, ['serve', ...given], {
      cwd: directory,
      env: environment,
    });
    let printed = '';
    child.stdout.on('data', (chunk) => (printed += chunk));
    child.stderr.on('data', (chunk) => (printed += chunk));
    const setupLink = () => printed.match(/https?:\/\/\S+\/setup\/\S+/)?.[0];
    try {
      await until('ready', () => {
        if (child.exitCode !== null) throw new Error(`switchboard ended with ${child.exitCode}:\n${printed}`);
        return fetch(`${url}/readyz`).then((answer) => answer.ok, () => false);
      });
      await use({ url, api, setupLink: api ? undefined : await until('printing a setup link', setupLink) });
    } finally {
      child.kill('SIGTERM');
      rmSync(directory, { recursive: true, force: true });
    }
  },
});

export { expect } from '@playwright/test';
