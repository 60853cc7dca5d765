// A certified identity provider on loopback, as an outsider would run one.
// Takes one JSON object on standard input: issuer, port, jwks; says "ready" when it listens.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { issuer, port, jwks } = JSON.parse(readFileSync(0, 'utf8'));

const provider = new Provider(issuer, {
  jwks,
  cookies: { keys: ['a secret of the tests alone'] },
  clients: [
    {
      client_id: 'machine',
      client_secret: 'a machine of the tests',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
    },
    {
      client_id: 'https://ml.example.org',
      client_secret: 'a site of the tests',
      grant_types: ['authorization_code'],
      redirect_uris: ['https://site.example.org/back'],
      response_types: ['code'],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  scopes: ['openid', 'ml.predict', 'ml.read'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        audience: resource,
        scope: 'ml.predict ml.read',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('ready'));
