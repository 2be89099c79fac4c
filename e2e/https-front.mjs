// A reverse proxy as operators put one in front: TLS ends here, and the public URL is another than Switchboard listens on.
// PORT, TARGET (an http origin), CERT and KEY (files) come in the environment.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const { PORT, TARGET, CERT, KEY } = process.env;
const target = new URL(TARGET);

https.createServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, (request, response) => {
  const forwarded = http.request(
    { host: target.hostname, port: target.port, path: request.url, method: request.method,
      headers: { ...request.headers, 'x-forwarded-proto': 'https', 'x-forwarded-for': request.socket.remoteAddress } },
    (answer) => { response.writeHead(answer.statusCode, answer.headers); answer.pipe(response); },
  );
  forwarded.on('error', () => response.destroy());
  response.on('close', () => forwarded.destroy());
  request.pipe(forwarded);
}).listen(Number(PORT), '127.0.0.1', () => console.log('ready'));
