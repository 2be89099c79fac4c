// What the console does by itself: lists that change as one types, how that fails, and what moves for whoever wants nothing
// to move. And the pages of limits: quotas, the guardrail, the checks of the installation.
import { expect, signIn, test, until } from './switchboard.mjs';
import { looksRight } from './look.mjs';

test.use({ more: { options: ['--allow-private-networks'], headless: true } });

// A form that is refused answers 422; an answer that never comes is what one of these tests is about.
const wrongs = (page) => {
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && !/422|ERR_FAILED|^htmx:/.test(message.text()) && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  return wrong;
};

const connect = (switchboard, url, slug, name) => switchboard.api('POST', '/connections', { slug, name, url, auth_type: 'none' });

test('a list answers as one types, says when it can not, and works without JavaScript', async ({ page, browser, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  await connect(switchboard, server, 'harbour', 'Harbour office');
  await connect(switchboard, server, 'lamp', 'Lamp room');
  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  const [harbour, lamp] = [page.getByRole('link', { name: 'Harbour office' }), page.getByRole('link', { name: 'Lamp room' })];
  await expect(harbour).toBeVisible();
  const typed = page.getByLabel('Name or address');
  // Held back, so that the waiting can be seen.
  let go;
  await page.route('**/connections?*', async (route) => { await new Promise((resolve) => { go = resolve; }); await route.continue(); }, { times: 1 });
  await typed.pressSequentially('lamp');
  await expect(page.locator('#found')).toHaveAttribute('aria-busy', 'true');
  await expect(page.getByText('Looking…')).toBeVisible();
  go();
  await expect(harbour).toBeHidden();
  await expect(lamp).toBeVisible();
  await expect(page.locator('#found')).not.toHaveAttribute('aria-busy');
  await expect(page.getByRole('status').last()).toHaveText('1 shown');
  expect(new URL(page.url()).search).toBe('?q=lamp');
  await expect(typed).toBeFocused();
  await looksRight(page, 'connections-filtered');

  await page.route('**/connections?*', (route) => route.abort());
  await typed.fill('harbour');
  await expect(page.getByRole('alert')).toContainText('can’t be reached');
  await expect(lamp).toBeVisible();
  await looksRight(page, 'connections-unreachable');
  await page.unroute('**/connections?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(harbour).toBeVisible();
  await expect(page.getByRole('alert')).toHaveCount(0);
  await page.goBack();
  await expect(lamp).toBeVisible();
  await expect(harbour).toBeHidden();

  // Signed out elsewhere: the list leads to signing in, and back to what was asked for.
  await page.context().clearCookies();
  await typed.fill('office');
  await signIn(page);
  await expect(harbour).toBeVisible();
  expect(new URL(page.url()).search).toBe('?q=office');
  expect(wrong).toEqual([]);

  for (const [path, label] of [['/members', 'Name or email address'], ['/audit', 'Who'], ['/toolkits', 'Name'], ['/clients', 'Name or address']]) {
    await page.goto(`${switchboard.url}${path}?q=zzzz&target=zzzz`);
    await expect(page.locator('#found')).toContainText(/fit/);
    await expect(page.getByLabel(label, { exact: true })).toBeVisible();
    await looksRight(page, `${path.slice(1)}-none-fits`);
  }

  const plain = await browser.newContext({ javaScriptEnabled: false });
  const bare = await plain.newPage();
  await bare.goto(`${switchboard.url}/connections`);
  await signIn(bare);
  await bare.getByLabel('Name or address').fill('lamp');
  await bare.getByRole('button', { name: 'Show', exact: true }).click();
  await expect(bare.getByRole('link', { name: 'Lamp room' })).toBeVisible();
  await expect(bare.getByRole('link', { name: 'Harbour office' })).toHaveCount(0);
  await plain.close();
});

test('an admin says how many calls there is room for, and sees how much is used', async ({ page, switchboard, server }) => {
  test.slow();
  const wrong = wrongs(page);
  const { id } = await connect(switchboard, server, 'demo', 'Demo server');
  await switchboard.api('PUT', `/connections/${id}/grants`, { everyone: true });
  await until('connected', async () => (await switchboard.api('GET', `/connections/${id}`)).status === 'connected');
  await page.goto(`${switchboard.url}/usage`);
  await signIn(page);
  await page.getByRole('link', { name: 'Quotas' }).click();
  await expect(page.getByText('There is none')).toBeVisible();
  await looksRight(page, 'quotas-empty');
  await page.getByLabel('Whose calls are counted').selectOption('team');
  await page.getByLabel('Which member, team').fill('Nobody’s team');
  await page.getByLabel('How many calls').fill('a few');
  await page.getByRole('button', { name: 'Add the quota' }).click();
  await expect(page.getByLabel('Which member, team')).toHaveAccessibleDescription(/There is no team “Nobody’s team” here/);
  await expect(page.getByLabel('How many calls')).toHaveAccessibleDescription(/is not a whole number/);
  await looksRight(page, 'quotas-wrong');
  await page.getByLabel('Whose calls are counted').selectOption('connection');
  await page.getByLabel('Which member, team').fill('demo');
  await page.getByLabel('How many calls').fill('4');
  await page.getByRole('button', { name: 'Add the quota' }).click();
  await expect(page.getByText('0 of 4 calls a day used')).toBeVisible();
  await page.getByLabel('How many calls').fill('100');
  await page.getByLabel('Each month').check();
  await page.getByRole('button', { name: 'Add the quota' }).click();
  await page.getByLabel('Whose calls are counted').selectOption('every_member');
  await page.getByLabel('How many calls').fill('20');
  await page.getByRole('button', { name: 'Add the quota' }).click();
  await expect(page.locator('.quotas > li')).toHaveCount(3);
  for (let count = 0; count < 5; count += 1) await switchboard.api('POST', `/connections/${id}/tools/echo/call`, { arguments: { message: 'x' } }).catch(() => undefined);
  await page.reload();
  await expect(page.getByText('4 of 4 calls a day used')).toBeVisible();
  await expect(page.getByText('4 of 100 calls a month used')).toBeVisible();
  await expect(page.getByText('No room left')).toBeVisible();
  await looksRight(page, 'quotas');
  const demo = page.locator('.quotas > li', { hasText: 'Demo server' });
  await demo.getByText('Change').click();
  await demo.getByLabel('Calls a day').fill('8');
  await demo.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('4 of 8 calls a day used')).toBeVisible();
  await demo.getByRole('button', { name: /^Remove/ }).click();
  await expect(page.locator('.quotas > li')).toHaveCount(2);
  expect(wrong).toEqual([]);
});

test('an admin has a guardrail asked, with what happens when it fails, and an owner has the installation checked', async ({ page, switchboard }) => {
  test.slow();
  const wrong = wrongs(page);
  await page.goto(`${switchboard.url}/settings`);
  await signIn(page);
  await page.getByRole('link', { name: 'Guardrail' }).click();
  await expect(page.getByText('Nobody is asked')).toBeVisible();
  await looksRight(page, 'guardrail-empty');
  await page.getByLabel('Address').fill('ftp://guard.example.com/ask');
  await page.getByRole('checkbox', { name: /^Before a call/ }).uncheck();
  await page.getByRole('button', { name: 'Ask this service' }).click();
  await expect(page.getByLabel('Address')).toHaveAccessibleDescription(/\S/);
  await expect(page.getByLabel('Address')).toHaveValue('ftp://guard.example.com/ask');
  await looksRight(page, 'guardrail-wrong');
  await page.getByLabel('Address').fill('http://127.0.0.1:4321/ask');
  await page.getByRole('checkbox', { name: /^Before a call/ }).check();
  await page.getByRole('button', { name: 'Ask this service' }).click();
  await expect(page.locator('pre[data-copy=secret]')).toContainText('whsec_');
  await looksRight(page, 'guardrail-made');
  await page.goto(`${switchboard.url}/settings/guardrail`);
  await page.getByRole('radio', { name: /^Calls go on/ }).check();
  await page.getByRole('button', { name: 'Save the guardrail' }).click();
  await expect(page.getByRole('radio', { name: /^Calls go on/ })).toBeChecked();
  await looksRight(page, 'guardrail');
  expect((await switchboard.api('GET', '/guardrail')).on_failure).toBe('open');
  await page.getByRole('button', { name: 'Remove the guardrail' }).click();
  await expect(page.getByText('Nobody is asked')).toBeVisible();

  await page.getByRole('link', { name: 'System' }).click();
  await looksRight(page, 'system');
  await page.getByRole('button', { name: 'Make the checks' }).click();
  const found = page.getByRole('list', { name: 'What the checks found' });
  for (const check of ['settings', 'data', 'disk', 'clock', 'database', 'schema', 'keys', 'server']) {
    await expect(found.getByText(check, { exact: true })).toBeVisible();
  }
  await looksRight(page, 'system-checked');
  expect(wrong).toEqual([]);
});

test('tools that are there and not found are told to whoever looks after them', async ({ page, switchboard, server }) => {
  const { id } = await connect(switchboard, server, 'demo', 'Demo server');
  await switchboard.api('PUT', `/connections/${id}/grants`, { everyone: true });
  await until('connected', async () => (await switchboard.api('GET', `/connections/${id}`)).status === 'connected');
  await switchboard.api('PATCH', `/connections/${id}`, { tool_deny: ['echo'] });
  await switchboard.api('PUT', '/policies', [{ pattern: 'demo.get-env', action: 'block' }]);
  await page.goto(`${switchboard.url}/tools?connection=demo`);
  await signIn(page);
  const hidden = (name) => page.getByRole('listitem').filter({ has: page.getByText(name, { exact: true }) });
  await expect(hidden('demo.echo')).toContainText('Off');
  await expect(hidden('demo.get-env')).toContainText('Blocked by a rule');
  await looksRight(page, 'tools-hidden');
  await page.goto(`${switchboard.url}/tools?q=echo`);
  await expect(page.getByRole('heading', { name: 'There, but not found' })).toBeVisible();
});

test('nothing moves for whoever wants nothing to move', async ({ page, switchboard, server }) => {
  await connect(switchboard, server, 'demo', 'Demo server');
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(`${switchboard.url}/connections`);
  await signIn(page);
  for (const path of ['/', '/overview', '/connections', '/connections/new', '/toolkits', '/tools', '/approvals', '/policies', '/members', '/clients', '/audit', '/usage', '/usage/quotas', '/settings', '/settings/guardrail', '/system', '/connect-client', '/account/access']) {
    await page.goto(`${switchboard.url}${path}`);
    const moving = await page.evaluate(() => {
      const seconds = (text) => Math.max(0, ...text.split(',').map((part) => parseFloat(part) * (part.includes('ms') ? 0.001 : 1)));
      const styled = [...document.querySelectorAll('*')].flatMap((element) => [null, '::before', '::after'].map((pseudo) => [element, getComputedStyle(element, pseudo)]));
      const long = styled.filter(([, style]) => seconds(style.transitionDuration) > 0.001 || (style.animationName !== 'none' && seconds(style.animationDuration) > 0.001));
      const running = document.getAnimations().filter((animation) => animation.playState === 'running');
      return [...long.map(([element]) => element.outerHTML.slice(0, 80)), ...running.map(String), ...(getComputedStyle(document.documentElement).scrollBehavior === 'smooth' ? ['smooth scrolling'] : [])];
    });
    expect(moving, path).toEqual([]);
  }
});
