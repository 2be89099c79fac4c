// The pictures of the documentation, and nothing else: `bash tests/pictures.sh`.
import config from './playwright.config.mjs';

export default { ...config, testMatch: 'pictures.mjs', retries: 0, timeout: 300_000 };
