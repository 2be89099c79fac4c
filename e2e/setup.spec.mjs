// The first page anyone sees: the link that `switchboard serve` prints makes its first visitor the owner, once.
import AxeBuilder from '@axe-core/playwright';
import { expect, test, watch } from './switchboard.mjs';

test('the setup link opens a page that an owner can be made on', async ({ page, switchboard }) => {
  const wrong = watch(page, switchboard.url);
  const answer = await page.goto(switchboard.setupLink);
  expect(answer.status()).toBe(200);
  expect(answer.headers()['content-security-policy']).toContain("default-src 'none'");
  expect(answer.headers()['referrer-policy']).toBe('no-referrer');
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  const violations = (await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze()).violations;
  expect(violations).toEqual([]);
  expect(wrong).toEqual([]);
});

test('a made-up setup link opens nothing', async ({ page, switchboard }) => {
  const answer = await page.goto(`${switchboard.url}/setup/not-a-token`);
  expect(answer.status()).toBeGreaterThanOrEqual(400);
  await expect(page.getByLabel(/password/i)).toHaveCount(0);
});

test('the first owner gets a token that works, and the link is spent', async ({ browser, switchboard }) => {
  // Without JavaScript: nothing on the way to the first token may need it.
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(switchboard.setupLink);
  await page.getByLabel('Organization').fill('Lighthouse <b>Keepers</b>');
  await page.getByLabel('Your email address').fill('ana@example.com');
  await page.getByLabel('Password').fill('four unrelated words here');
  await page.getByRole('button', { name: 'Make me the owner' }).click();

  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Switchboard is yours');
  await expect(page.getByText('Lighthouse <b>Keepers</b>')).toBeVisible();
  const token = (await page.locator('pre').first().innerText()).trim();
  expect(token).toMatch(/^swb_pat_[A-Za-z0-9]+$/);

  const answer = await fetch(`${switchboard.url}/mcp`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2025-11-25',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
  });
  expect((await answer.json()).result.tools.map((tool) => tool.name)).toEqual(['search_capabilities', 'execute_capability']);

  const again = await page.goto(switchboard.setupLink);
  expect(again.status()).toBeGreaterThanOrEqual(400);
  await expect(page.getByRole('button', { name: 'Make me the owner' })).toHaveCount(0);
  await context.close();
});
