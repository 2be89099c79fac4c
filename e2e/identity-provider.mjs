// An OpenID provider from npm, with the pages of its own where a person signs in and agrees. Everybody it knows is in
// PEOPLE, by login; any password will do. Settings come in the environment: PORT, CLIENT_ID, CLIENT_SECRET, CALLBACK, and ISSUED, a
// file for what was issued.
import { appendFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const { PORT, CLIENT_ID, CLIENT_SECRET, CALLBACK, PEOPLE, ACCESS_TOKEN_SECONDS = '3600' } = process.env;
const people = JSON.parse(PEOPLE);
const issuer = `http://127.0.0.1:${PORT}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [CALLBACK],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  findAccount: (_, login) => people[login] && { accountId: login, claims: () => ({ sub: login, ...people[login] }) },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: Number(ACCESS_TOKEN_SECONDS), Interaction: 600, Session: 3600, Grant: 3600, IdToken: 300 },
  cookies: { keys: ['a key of the tests'] },
});
if (process.env.ISSUED) {
  provider.on('grant.success', ({ body }) => {
    for (const name of ['access_token', 'refresh_token', 'id_token']) if (body[name]) appendFileSync(process.env.ISSUED, `${body[name]}\n`);
  });
}
provider.listen(Number(PORT), '127.0.0.1', () => console.log(`${issuer} is ready`));
