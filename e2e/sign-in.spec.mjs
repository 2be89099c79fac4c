// An AI client that knows the URL alone sends its person to the browser: sign in, see who asks for what, decide.
import { once } from 'node:events';
import { createServer } from 'node:http';
import AxeBuilder from '@axe-core/playwright';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { SignIn } from './clients/sign-in.mjs';
import { expect, makeOwner, owner, signIn, test, watch } from './switchboard.mjs';

// Where the client waits for the browser, as programs on one's own computer do.
async function listen(host) {
  const listener = createServer((_, response) => response.end('You may close this window.'));
  listener.listen(0, host.replace(/[[\]]/g, ''));
  await once(listener, 'listening');
  return { origin: `http://${host}:${listener.address().port}`, close: () => listener.close() };
}

// The client's whole way, in which `decide` is the person at the consent page.
async function connect(page, switchboard, host, decide) {
  const callback = await listen(host);
  const wrong = watch(page, switchboard.url, callback.origin);
  const redirectUri = `${callback.origin}/callback`;
  const provider = new SignIn('Agent <b>Smith</b>', redirectUri, async (url) => {
    await page.goto(url);
    await signIn(page);
    await decide();
    await page.waitForURL(`${redirectUri}?*`);
    return page.url();
  });
  const prepare = () => new StreamableHTTPClientTransport(new URL(`${switchboard.url}/mcp`), { authProvider: provider });
  const transport = prepare();
  try {
    await expect(new Client({ name: 'e2e', version: '1' }).connect(transport)).rejects.toThrow();
  } finally {
    callback.close();
  }
  return { provider, wrong, finish: () => provider.finish(transport, 2), prepare };
}

for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
  test(`allowing a client that waits at ${host} lets it in`, async ({ browser, page, switchboard }) => {
    await makeOwner(browser, switchboard.setupLink);
    const { provider, wrong, finish, prepare } = await connect(page, switchboard, host, async () => {
      await expect(page.getByRole('heading', { level: 1 })).toHaveText('Allow Agent <b>Smith</b> to use Switchboard?');
      await expect(page.getByText('Unverified')).toBeVisible();
      await expect(page.getByText(host, { exact: true })).toBeVisible();
      await expect(page.getByText(`${switchboard.url}/mcp`)).toBeVisible();
      await expect(page.getByText(owner.email)).toBeVisible();
      const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
      expect(violations).toEqual([]);
      await page.getByRole('button', { name: 'Allow' }).click();
    });
    const { callback, state } = provider.kept;
    expect([...callback.keys()].sort()).toEqual(['code', 'iss', 'state']);
    expect([callback.get('state'), callback.get('iss')]).toEqual([state, switchboard.url]);
    expect(wrong).toEqual([]);

    await finish();
    const client = new Client({ name: 'e2e', version: '1' });
    await client.connect(prepare());
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['search_capabilities', 'execute_capability']);
    await client.close();
  });
}

test('denying a client tells it so', async ({ browser, page, switchboard }) => {
  await makeOwner(browser, switchboard.setupLink);
  const { provider, wrong, finish } = await connect(page, switchboard, '127.0.0.1', () =>
    page.getByRole('button', { name: 'Deny' }).click(),
  );
  const { callback, state } = provider.kept;
  expect([callback.get('error'), callback.get('state'), callback.get('iss')]).toEqual(['access_denied', state, switchboard.url]);
  expect(callback.has('code')).toBe(false);
  expect(wrong).toEqual([]);
  await expect(finish()).rejects.toThrow();
  expect(provider.kept.tokens).toBeUndefined();
});
