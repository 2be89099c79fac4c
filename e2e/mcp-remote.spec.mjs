// mcp-remote, the bridge of programs that only start processes: the URL is all that it is given.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { expect, makeOwner, signIn, test, watch } from './switchboard.mjs';

const program = fileURLToPath(new URL('node_modules/mcp-remote/dist/proxy.js', import.meta.url));

test('mcp-remote signs its person in and passes calls on', async ({ browser, page, switchboard }) => {
  await makeOwner(browser, switchboard.setupLink);
  const directory = mkdtempSync(join(tmpdir(), 'mcp-remote-'));
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [program, `${switchboard.url}/mcp`],
    // Without a PATH it finds no browser of its own to open: it prints the address instead.
    env: { HOME: directory, MCP_REMOTE_CONFIG_DIR: directory, PATH: directory },
    stderr: 'pipe',
  });
  let printed = '';
  const link = new Promise((resolve) =>
    transport.stderr.on('data', (chunk) => {
      printed += chunk;
      const found = printed.match(/visiting:\s+(http\S+)\s/);
      if (found) resolve(found[1]);
    }),
  );
  const client = new Client({ name: 'e2e', version: '1' });
  try {
    const connected = client.connect(transport);
    const url = new URL(await link);
    const callback = url.searchParams.get('redirect_uri');
    const wrong = watch(page, switchboard.url, new URL(callback).origin);
    await page.goto(url.href);
    await signIn(page);
    await expect(page.getByText('Unverified')).toBeVisible();
    // What comes after is mcp-remote's own page.
    expect(wrong).toEqual([]);
    await page.getByRole('button', { name: 'Allow' }).click();
    await page.waitForURL(`${callback}?*`);
    await connected;
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['search_capabilities', 'execute_capability']);
  } finally {
    await client.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
