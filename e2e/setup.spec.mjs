// The first page anyone sees: the link that `switchboard serve` prints makes its first visitor the owner, once.
import AxeBuilder from '@axe-core/playwright';
import { expect, test } from './switchboard.mjs';

// What a page must never do, whatever is on it: run afoul of its own policy, or reach for another host.
function watch(page, url) {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => request.url().startsWith(url) || wrong.push(`asked for ${request.url()}`));
  return wrong;
}

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
