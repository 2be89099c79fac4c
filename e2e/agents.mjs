// The AI clients that people use, behind one small interface: each is given the URL and nothing else.
//
// `start(url, directory)` gives an agent. `agent.link` is the address that it wants its person to open; `agent.answered(address)`
// tells one that does not listen there itself where the browser ended; `agent.call(name, arguments)` is a tool's answer, and
// fails when the client is refused, or wants its person to sign in again.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { freePort } from './switchboard.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const python = here('../.cache/venv/bin/python');

// Without a PATH nothing finds a browser of its own to open.
const bare = (directory) => ({ HOME: directory, PATH: directory });

class Scripted {
  constructor(command, args, env) {
    this.child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.link = this.next().then((line) => line.browse);
  }

  async next() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('it ended');
    return JSON.parse(value);
  }

  async answered(address) {
    this.child.stdin.write(`${address}\n`);
    if (!(await this.next()).ready) throw new Error('it asks its person once more');
  }

  async call(name, args) {
    this.child.stdin.write(`${JSON.stringify({ call: name, arguments: args })}\n`);
    const line = await this.next();
    if (!line.result) throw new Error(JSON.stringify(line));
    return line.result;
  }

  close() {
    this.child.kill('SIGKILL');
  }
}

const typescript = (name, sdk, mode) => ({
  name,
  async start(url) {
    const job = { sdk, mode, url, signIn: { name, redirectUri: `http://127.0.0.1:${await freePort()}/callback` } };
    return new Scripted(process.execPath, [here('clients/mcp-client.mjs'), JSON.stringify(job)], process.env);
  },
});

// One process an operation; what it keeps of a sign-in is in its person's home.
class Inspector {
  constructor(url, directory, port) {
    this.options = ['--transport', 'http', '--server-url', url, '--callback-url', `http://127.0.0.1:${port}/oauth/callback`];
    // It asks nobody when it has no terminal, unless it may open a browser itself.
    this.env = { ...bare(directory), MCP_INSPECTOR_SECRET_STORE: 'file', MCP_AUTO_OPEN_ENABLED: 'true' };
    this.first = this.run(['--method', 'tools/list']);
    // Whoever waits for it hears of it.
    this.first.catch(() => {});
    this.link = new Promise((resolve) => (this.found = resolve));
  }

  run(more) {
    const program = here('node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
    const child = spawn(process.execPath, [program, '--cli', '-q', '--format', 'json', ...this.options, ...more], { env: this.env });
    this.child = child;
    let [out, told] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => {
      told += chunk;
      const link = told.match(/http\S+\/oauth\/authorize\?\S+/);
      if (link) this.found(link[0]);
    });
    return new Promise((resolve, reject) => {
      child.on('close', (code) => (code === 0 ? resolve(JSON.parse(out).result) : reject(new Error(`exit ${code}: ${out}${told}`))));
    });
  }

  answered() {
    return this.first;
  }

  call(name, args) {
    return this.run(['--stored-auth-only', '--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args)]);
  }

  close() {
    this.child.kill('SIGKILL');
  }
}

// The bridge of programs that only start processes.
class McpRemote {
  constructor(url, directory) {
    this.transport = new StdioClientTransport({
      command: process.execPath,
      args: [here('node_modules/mcp-remote/dist/proxy.js'), url],
      env: { ...bare(directory), MCP_REMOTE_CONFIG_DIR: directory },
      stderr: 'pipe',
    });
    let printed = '';
    const links = () => [...printed.matchAll(/visiting:\s+(http\S+)\s/g)].map((found) => found[1]);
    this.again = new Promise((_, reject) => (this.asksAgain = () => reject(new Error('it asks its person to sign in again'))));
    this.again.catch(() => {});
    this.link = new Promise((resolve) =>
      this.transport.stderr.on('data', (chunk) => {
        printed += chunk;
        if (links().length > 0) resolve(links()[0]);
        if (links().length > 1) this.asksAgain();
      }),
    );
    this.client = new Client({ name: 'e2e', version: '1' });
    this.connected = this.client.connect(this.transport);
    this.connected.catch(() => {});
  }

  answered() {
    return this.connected;
  }

  call(name, args) {
    return Promise.race([this.client.callTool({ name, arguments: args }), this.again]);
  }

  close() {
    return this.client.close();
  }
}

export const agents = [
  { name: 'Python client', start: (url) => new Scripted(python, [here('clients/python-agent.py'), 'Python client', 'auto', url], process.env) },
  typescript('TypeScript client', 'client', 'auto'),
  typescript('TypeScript client of version 1', 'sdk', 'legacy'),
  { name: 'Inspector', start: async (url, directory) => new Inspector(url, directory, await freePort()) },
  { name: 'mcp-remote', start: (url, directory) => new McpRemote(url, directory) },
];

if (!existsSync(python)) throw new Error(`${python} is not there: ./test e2e makes it`);
