// People sign in with their company's identity provider (oidc-provider from npm), in a real browser, on its own pages.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import AxeBuilder from '@axe-core/playwright';
import { expect, freePort, makeOwner, owner, signIn, test as base, until, watch } from './switchboard.mjs';

const people = {
  mia: { email: 'mia@example.com', email_verified: true, name: 'Mia Lund' },
  ana: { email: owner.email, email_verified: true, name: 'Ana' },
  eve: { email: 'eve@example.com', email_verified: false },
};

const test = base.extend({
  // The provider, set up at Switchboard by its owner.
  company: async ({ browser, switchboard }, use) => {
    await makeOwner(browser, switchboard.setupLink);
    const issuer = `http://127.0.0.1:${await freePort()}`;
    const client = { client_id: 'switchboard', client_secret: 'a secret of the tests, 0123456789' };
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${switchboard.url}/sign-in`);
    await signIn(page);
    const { slug } = await (await page.request.get(`${switchboard.url}/api/v1/organization`)).json();
    const child = spawn(process.execPath, [fileURLToPath(new URL('identity-provider.mjs', import.meta.url))], {
      env: {
        PORT: new URL(issuer).port,
        CLIENT_ID: client.client_id,
        CLIENT_SECRET: client.client_secret,
        CALLBACK: `${switchboard.url}/sign-in/callback/${slug}/company`,
        PEOPLE: JSON.stringify(people),
      },
    });
    try {
      await until('the provider ready', () => fetch(`${issuer}/jwks`).then((answer) => answer.ok, () => false));
      await page.goto(`${switchboard.url}/account/password`);
      const token = await page.locator('input[name=form_token]').first().getAttribute('value');
      const made = await page.request.post(`${switchboard.url}/api/v1/identity-providers`, {
        headers: { 'Switchboard-Form-Token': token },
        data: { slug: 'company', name: 'Company', issuer, ...client, verified_domains: ['example.com'] },
      });
      expect(made.status(), await made.text()).toBe(201);
      await context.close();
      await use({ issuer });
    } finally {
      child.kill('SIGTERM');
    }
  },
});
test.use({ more: { options: ['--allow-private-networks'] } });

// What the person does on the provider's own pages.
async function atProvider(page, login) {
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

async function accessible(page) {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
  expect(violations).toEqual([]);
}

test('the button leads to the provider and back, signed in', async ({ page, switchboard, company }) => {
  const wrong = watch(page, switchboard.url, company.issuer);
  await page.goto(`${switchboard.url}/sign-in?return_to=/account/identities`);
  await accessible(page);
  await page.getByRole('link', { name: 'Sign in with Company' }).click();
  await atProvider(page, 'mia');
  await expect(page).toHaveURL(`${switchboard.url}/account/identities`);
  await expect(page.getByText('You are signed in as mia@example.com.')).toBeVisible();
  await accessible(page);
  expect(wrong.filter((text) => text.includes(switchboard.url))).toEqual([]);
});

test('an owner connects an account by hand, and only then comes in with it', async ({ browser, page, switchboard, company }) => {
  await page.goto(`${switchboard.url}/sign-in`);
  await page.getByRole('link', { name: 'Sign in with Company' }).click();
  await atProvider(page, 'ana');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Connect your account first');
  await accessible(page);

  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(`${switchboard.url}/sign-in?return_to=/account/identities`);
  await signIn(other);
  await other.getByRole('button', { name: 'Connect Company' }).click();
  await accessible(other);
  await other.getByRole('link', { name: 'Go on' }).click();
  await atProvider(other, 'ana');
  await expect(other.getByRole('button', { name: 'Disconnect Company' })).toBeVisible();
  await context.close();

  await page.goto(`${switchboard.url}/sign-in?return_to=/account/identities`);
  await page.getByRole('link', { name: 'Sign in with Company' }).click();
  await expect(page.getByText(`You are signed in as ${owner.email}.`)).toBeVisible();
});

test('who is no member is told what to do', async ({ page, switchboard, company }) => {
  await page.goto(`${switchboard.url}/sign-in`);
  await page.getByRole('link', { name: 'Sign in with Company' }).click();
  await atProvider(page, 'eve');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('You are not a member yet');
  await accessible(page);
});
