// End-to-end tests in Debian's Chromium (Playwright's own browsers are not downloaded).
import { existsSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

const candidates = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = candidates.find((path) => path && existsSync(path));

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.mjs',
  outputDir: '../.cache/e2e',
  reporter: 'list',
  workers: 1,
  timeout: 60_000,
  // Once more, and reported as flaky when it then passes.
  retries: 1,
  use: {
    // What is not there after this long is not coming; the test says what it waited for.
    actionTimeout: 20_000,
    launchOptions: {
      executablePath,
      args: [
        // Chromium's sandbox does not start for root, which is who runs tests in many containers.
        ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
