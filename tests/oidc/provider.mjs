// A real OpenID Connect provider for tests: oidc-provider with people, clients and keys that a test can choose.
//
// node provider.mjs MODULES OPTIONS, with the directory of node_modules and JSON:
//   {"users": {NAME: {CLAIM: VALUE}}, "ttl": {KIND: SECONDS}, "port": 0}
// It prints {"issuer": URL} when it answers. Beside the protocol's own endpoints:
//   POST /test/keys {"keep": true|false, "sign": true|false}
//                                           sign with new keys; the old ones stay in the set or leave it. With
//                                           "sign": false the new ones are only published, and sign the next time
//   POST /test/offline {"seconds": N}       answer everything with 503 for so long

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, text] = process.argv.slice(2);
const options = JSON.parse(text);
const { Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));

const records = new Map();

class Store {
  constructor(kind) {
    this.kind = kind;
  }

  key(id) {
    return `${this.kind}:${id}`;
  }

  async upsert(id, payload) {
    records.set(this.key(id), payload);
  }

  async find(id) {
    return records.get(this.key(id));
  }

  async findBy(name, value) {
    for (const [key, payload] of records) {
      if (key.startsWith(`${this.kind}:`) && payload[name] === value) return payload;
    }
    return undefined;
  }

  async findByUserCode(code) {
    return this.findBy('userCode', code);
  }

  async findByUid(uid) {
    return this.findBy('uid', uid);
  }

  async consume(id) {
    records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    records.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of records) {
      if (payload.grantId === grantId) records.delete(key);
    }
  }
}

function newKeys() {
  const pairs = [
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ];
  return pairs.map(([alg, pair]) => ({ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() }));
}

const native = {
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
};
const open = { ...native, token_endpoint_auth_method: 'none' };
const clients = [
  { ...open, client_id: 'hoopjump', id_token_signed_response_alg: 'ES256' },
  { ...open, client_id: 'hoopjump-rsa', id_token_signed_response_alg: 'RS256' },
  { ...native, client_id: 'hoopjump-secret', client_secret: 'a secret: 50% of it+more', id_token_signed_response_alg: 'ES256' },
];
const cookieKeys = [randomUUID()];
let issuer;
let keys = newKeys();
let coming = [];
let answer;
let offlineUntil = 0;

function start() {
  const provider = new Provider(issuer, {
    adapter: Store,
    clients,
    jwks: { keys: [...keys, ...coming] },
    cookies: { keys: cookieKeys },
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    conformIdTokenClaims: false,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...options.users?.[id] }) }),
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, DeviceCode: 600, ...options.ttl },
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'openid',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  answer = provider.callback();
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString() || '{}');
}

const server = createServer(async (request, response) => {
  if (request.method === 'POST' && request.url === '/test/keys') {
    const { keep, sign = true } = await body(request);
    if (!coming.length) coming = newKeys();
    if (sign) {
      keys = [...coming, ...(keep ? keys : [])];
      coming = [];
    }
    start();
    response.end();
  } else if (request.method === 'POST' && request.url === '/test/offline') {
    offlineUntil = Date.now() + (await body(request)).seconds * 1000;
    response.end();
  } else if (Date.now() < offlineUntil) {
    response.writeHead(503).end();
  } else {
    answer(request, response);
  }
});
server.listen(options.port ?? 0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  start();
  console.log(JSON.stringify({ issuer }));
});
