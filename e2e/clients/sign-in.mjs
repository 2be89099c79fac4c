// The OAuth of the official TypeScript clients, with what they leave to a program: memory, a browser, the way back.
import { randomBytes } from 'node:crypto';

export class SignIn {
  // `browse` takes the authorization URL and gives the address that the browser ended at.
  constructor(name, redirectUri, browse) {
    this.redirectUrl = redirectUri;
    this.clientMetadata = {
      client_name: name,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
    this.browse = browse;
    this.kept = {};
  }

  state() {
    return (this.kept.state = randomBytes(16).toString('base64url'));
  }
  clientInformation() {
    return this.kept.client;
  }
  saveClientInformation(client) {
    this.kept.client = client;
  }
  tokens() {
    return this.kept.tokens;
  }
  saveTokens(tokens) {
    this.kept.tokens = tokens;
  }
  codeVerifier() {
    return this.kept.verifier;
  }
  saveCodeVerifier(verifier) {
    this.kept.verifier = verifier;
  }
  discoveryState() {
    return this.kept.discovery;
  }
  saveDiscoveryState(discovery) {
    this.kept.discovery = discovery;
  }
  async redirectToAuthorization(url) {
    this.kept.callback = new URL(await this.browse(url.href)).searchParams;
  }

  // A transport that was refused finishes what the browser brought back. Version 1 is given the code alone.
  async finish(transport, version) {
    const { callback, state } = this.kept;
    if (callback.get('state') !== state) throw new Error('the answer is to another request');
    if (version === 2) return transport.finishAuth(callback);
    if (callback.has('error')) throw new Error(callback.get('error'));
    return transport.finishAuth(callback.get('code'));
  }
}
