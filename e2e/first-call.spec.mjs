// What somebody meets who has never seen it: from the link that the program prints to a first call by hand, with nothing but
// what is on the pages; and what it says to who mistypes on the way.
import { looksRight } from './look.mjs';
import { expect, makeOwner, owner, signIn, test } from './switchboard.mjs';

test.use({ more: { options: ['--allow-private-networks'] } });

// As it is copied from a terminal: host and port.
const host = (server) => new URL(server).host;

test('the first call is seven presses away from the setup link', async ({ page, switchboard, server }) => {
  let presses = 0;
  const press = async (role, name) => {
    presses += 1;
    await page.locator('main').getByRole(role, { name }).click();
  };
  await page.goto(switchboard.setupLink);
  await page.getByLabel('Organization').fill('Lighthouse Keepers');
  await page.getByLabel('Your email address').fill(owner.email);
  await page.getByLabel('Password').fill(owner.password);
  await press('button', 'Make me the owner');
  await looksRight(page, 'setup-done');
  await press('link', 'Add a server');
  // Without scheme and path, as it is copied from a terminal.
  await page.getByLabel('Name or address of an MCP server').fill(host(server));
  await press('button', 'Look it up');
  await press('button', /^Add mcp-servers/);
  await press('link', 'Try a tool');
  await press('link', 'get-sum');
  await page.getByLabel(/^a /).fill('2');
  await page.getByLabel(/^b /).fill('40');
  await press('button', /^Run$/);
  await expect(page.locator('#outcome')).toContainText('The sum of 2 and 40 is 42.');
  expect(presses).toBe(7);
  await page.getByRole('link', { name: /^call_/ }).click();
  await expect(page.getByRole('row', { name: /everything\.get-sum/ }).first()).toContainText('Done');
});

test('who mistypes a name or an address is told what to do', async ({ browser, page, switchboard, server }) => {
  await makeOwner(browser, switchboard.setupLink);
  await page.goto(`${switchboard.url}/connections/new`);
  await signIn(page);
  const query = page.getByLabel('Name or address');
  await query.fill('linaer');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('Did you mean');
  await expect(page.getByRole('button', { name: /^Linear/ })).toBeVisible();
  await looksRight(page, 'find-near');
  await query.fill(`${host(server)}/nowhere`);
  await page.keyboard.press('Enter');
  await expect(page.getByText(`http://${host(server)}/nowhere`)).toBeVisible();
  await looksRight(page, 'find-unreached');
  await query.fill(`${host(server)}/mcp`);
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByText(`http://${host(server)}/mcp answers.`)).toBeVisible();

  await page.goto(`${switchboard.url}/mcp`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('This address is for AI clients');
  await page.getByRole('link', { name: 'How to connect one' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Connect your AI app');
});
