// How every page is looked at: nothing axe finds, nothing wider than the window, in the light and in the dark, on a
// telephone and on a desk.
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import { expect } from './switchboard.mjs';

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

export async function looksRight(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const width of [360, 768, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      const { violations } = await new AxeBuilder({ page }).withTags(tags).analyze();
      expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), `${name} ${colorScheme} ${width}`).toEqual([]);
      await fits(page, name, width);
      if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
    }
  }
  // 320 px is a desk's window at 400 % (WCAG 2.2, 1.4.10).
  await page.setViewportSize({ width: 320, height: 800 });
  await fits(page, name, 320);
}

async function fits(page, name, width) {
  const [whole, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  expect(whole, `${name} at ${width}`).toBeLessThanOrEqual(seen);
}

// What a page must never do: run afoul of its own policy, or fail in its scripts. A form that is refused answers 422.
export function wrongs(page) {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && !message.text().includes('422') && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  return wrong;
}
