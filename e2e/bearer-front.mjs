// node bearer-front.mjs PORT TARGET: the same server on PORT, for a client that can't send a token.
// The token is read from the environment variable TOKEN. Host and Origin stay as they come.
import http from 'node:http';

const [port, target] = [Number(process.argv[2]), new URL(process.argv[3])];

const front = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${process.env.TOKEN}` };
  const options = { host: target.hostname, port: target.port, method: request.method, path: request.url, headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
  });
  onward.on('error', (error) => response.destroy(error));
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});

front.listen(port, '127.0.0.1');
