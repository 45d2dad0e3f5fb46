// A peer: Node and ws, a handler for each call. The same work as work.py.
'use strict';
const { WebSocketServer } = require('ws');

const RING = 24000;
const TABLE = new Int16Array(256);
for (let i = 0; i < 256; i++) {
  const code = ~i & 0xff;
  const magnitude = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132;
  TABLE[i] = code & 0x80 ? -magnitude : magnitude;
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 1024 });
server.on('listening', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
server.on('connection', (socket) => {
  const ring = new Int16Array(RING);
  let position = 0;
  socket.on('message', (message) => {
    const said = JSON.parse(message);
    if (said.event !== 'media') return;
    const sound = Buffer.from(said.media.payload, 'base64');
    for (let i = 0; i < sound.length; i++) {
      ring[position] = TABLE[sound[i]];
      if (++position === RING) position = 0;
    }
  });
});
process.on('SIGTERM', () => process.exit(0));
