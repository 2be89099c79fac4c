// What every page must be, looked at: nothing axe finds, nothing wider than the window, in the light and in the dark, on a
// telephone and on a desk; valid HTML as the server sent it. `SCREENSHOTS=directory` keeps what was seen.
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import { HtmlValidate } from 'html-validate';
import { expect } from './switchboard.mjs';

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

const validator = new HtmlValidate({
  extends: ['html-validate:recommended'],
  rules: {
    // A key for another server is not a password that a browser should keep for this one.
    'autocomplete-password': 'off',
    // Boxes of one kind have one name, as radio buttons do.
    'form-dup-name': ['error', { shared: ['radio', 'button', 'reset', 'submit', 'checkbox'] }],
    // Matters of taste.
    'doctype-style': 'off',
    'void-style': 'off',
    'no-trailing-whitespace': 'off',
    'long-title': 'off',
    'tel-non-breaking': 'off',
  },
});

// The HTML of an address, or of a page's current one, as the server sends it to this person.
export async function isValidHtml(page, name = page.url()) {
  const answer = await page.request.get(page.url());
  if (!answer.ok() || !(answer.headers()['content-type'] ?? '').startsWith('text/html')) return;
  const { results } = await validator.validateString(await answer.text());
  const found = results.flatMap(({ messages }) => messages.map(({ ruleId, message, line }) => `${line}: ${ruleId}: ${message}`));
  expect.soft(found, `${name} is valid HTML`).toEqual([]);
}

// All of them with `--long` and for screenshots; otherwise the two that differ most.
const sights = ['light', 'dark'].flatMap((colorScheme) => [360, 768, 1280].map((width) => [colorScheme, width]));
const all = process.env.SWITCHBOARD_TEST_LONG || process.env.SCREENSHOTS;
const chosen = all ? sights : [['light', 1280], ['dark', 360]];

export async function looksRight(page, name) {
  await isValidHtml(page, name);
  for (const [colorScheme, width] of chosen) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    const { violations } = await new AxeBuilder({ page }).withTags(tags).analyze();
    expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), `${name} ${colorScheme} ${width}`).toEqual([]);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
  }
  // 320 px is a desk's window at 400 % (WCAG 2.2, 1.4.10).
  for (const width of [320, 360, 768, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const [whole, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect.soft(whole, `${name} at ${width}`).toBeLessThanOrEqual(seen);
  }
}
