// A Switchboard with nothing in it yet, and what it printed when it started.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base } from '@playwright/test';

const binary = process.env.SWITCHBOARD_BIN;

function freePort() {
  return new Promise((resolve, reject) => {
    const listener = createServer();
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

async function until(what, condition) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not ${what} after 30 s`);
}

export const test = base.extend({
  switchboard: async ({}, use) => {
    const directory = mkdtempSync(join(tmpdir(), 'switchboard-e2e-'));
    const url = `http://127.0.0.1:${await freePort()}`;
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SWITCHBOARD_')));
    const child = spawn(binary, ['serve', '--listen', url.replace('http://', ''), '--data-dir', join(directory, 'data')], {
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
      await use({ url, setupLink: await until('printing a setup link', setupLink) });
    } finally {
      child.kill('SIGTERM');
      rmSync(directory, { recursive: true, force: true });
    }
  },
});

export { expect } from '@playwright/test';
