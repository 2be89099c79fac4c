// A real MCP server behind a real authorization server (oidc-provider from npm): the server wants a token, the provider
// signs a person in on pages of its own. Settings come in the environment: PORT, MCP_URL, REGISTRATION (on, off),
// DOCUMENTS (client ID metadata documents: on, off), ISSUER_PATH, TOKEN_LIFE (seconds), ISSUED (a file),
// CLIENT_ID, CLIENT_SECRET or CLIENT_KEY (a public JSON Web Key: private_key_jwt), and CALLBACK unless nobody signs in there (client
// credentials); METHODS (how clients may prove themselves, with commas between).
import { appendFileSync } from 'node:fs';
import http from 'node:http';
import Provider from 'oidc-provider';
import { createLocalJWKSet, jwtVerify } from 'jose';

const { PORT, MCP_URL, REGISTRATION = 'on', DOCUMENTS = 'off', ISSUER_PATH = '', TOKEN_LIFE = '300' } = process.env;
const { CLIENT_ID, CLIENT_SECRET, CLIENT_KEY, CALLBACK, METHODS } = process.env;
const origin = `http://127.0.0.1:${PORT}`;
const issuer = `${origin}${ISSUER_PATH}`;
const resource = `${origin}/mcp`;
const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
const clients = CLIENT_ID
  ? [{
      client_id: CLIENT_ID, application_type: 'native',
      ...(CLIENT_KEY
        ? { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [JSON.parse(CLIENT_KEY)] } }
        : { client_secret: CLIENT_SECRET }),
      ...(CALLBACK
        ? { redirect_uris: [CALLBACK], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }
        : { redirect_uris: [], grant_types: ['client_credentials'], response_types: [] }),
    }]
  : [];
const provider = new Provider(issuer, {
  clients,
  scopes: ['openid', 'offline_access', 'tools'],
  findAccount: (_, login) => ({ accountId: login, claims: () => ({ sub: login }) }),
  features: {
    clientCredentials: { enabled: true },
    clientIdMetadataDocument: { enabled: DOCUMENTS === 'on', ack: 'draft-02' },
    devInteractions: { enabled: true },
    registration: { enabled: REGISTRATION === 'on' },
    registrationManagement: { enabled: REGISTRATION === 'on' },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, asked) => {
        if (asked !== resource) throw new Error('invalid_target');
        return { audience: asked, scope: 'tools', accessTokenFormat: 'jwt', accessTokenTTL: Number(TOKEN_LIFE), jwt: { sign: { alg: 'RS256' } } };
      },
    },
  },
  // Documents come from this machine, which the provider would not ask by itself.
  ...(DOCUMENTS === 'on' && { fetch: (url, { dispatcher, ...options }) => fetch(url, options) }),
  ...(METHODS && { clientAuthMethods: METHODS.split(',') }),
  pkce: { required: () => true },
  issueRefreshToken: async () => true,
  // Strict: a refresh token that is used twice takes everything of its grant along.
  rotateRefreshToken: true,
  ttl: { Interaction: 600, Session: 3600, Grant: 3600 },
  cookies: { keys: ['a key of the tests'] },
});
provider.on('grant.success', ({ oidc }) => console.log(`grant.success ${oidc.params.grant_type}`));
// What was issued, for tests that look for it where it must not be.
if (process.env.ISSUED) {
  provider.on('grant.success', ({ body }) => {
    for (const name of ['access_token', 'refresh_token', 'id_token']) if (body[name]) appendFileSync(process.env.ISSUED, `${body[name]}\n`);
  });
}
const answer = provider.callback();

async function isGood(token) {
  const keys = createLocalJWKSet(await (await fetch(`${issuer}/jwks`)).json());
  const { payload } = await jwtVerify(token, keys, { issuer, audience: resource });
  return payload.scope?.split(' ').includes('tools');
}

function toServer(request, response) {
  const { authorization, ...headers } = request.headers;
  const target = new URL(MCP_URL);
  const forwarded = http.request(
    { host: target.hostname, port: target.port, path: target.pathname, method: request.method, headers: { ...headers, host: target.host } },
    (upstream) => { response.writeHead(upstream.statusCode, upstream.headers); upstream.pipe(response); },
  );
  forwarded.on('error', () => response.destroy());
  response.on('close', () => forwarded.destroy());
  request.pipe(forwarded);
}

http.createServer(async (request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/mcp') {
    const token = request.headers.authorization?.replace(/^Bearer /, '');
    if (token && await isGood(token).catch(() => false)) return toServer(request, response);
    response.writeHead(401, { 'www-authenticate': `Bearer resource_metadata="${metadata}", scope="tools"` });
    return response.end();
  }
  if (path === new URL(metadata).pathname) {
    response.writeHead(200, { 'content-type': 'application/json' });
    return response.end(JSON.stringify({ resource, authorization_servers: [issuer], scopes_supported: ['tools'] }));
  }
  if (ISSUER_PATH) {
    if (!request.url.startsWith(ISSUER_PATH)) { response.writeHead(404); return response.end(); }
    request.originalUrl = request.url;
    request.url = request.url.slice(ISSUER_PATH.length) || '/';
  }
  return answer(request, response);
}).listen(Number(PORT), '127.0.0.1', () => console.log(`${issuer} is ready`));
