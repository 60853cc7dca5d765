// A client of SecureML's authorization server, with openid-client.
//
//   npm install openid-client
//   export CLIENT_ID=... CLIENT_SECRET=...      # a public client has no secret
//   node oauth2_client.mjs machine https://ml.example.org/oauth2
//   node oauth2_client.mjs person  https://ml.example.org/oauth2 http://127.0.0.1:8484/back
//   node oauth2_client.mjs device  https://ml.example.org/oauth2
//
// With DPOP=1 the tokens are bound to a key that is made here and never leaves this process.
// A private authority is believed with NODE_EXTRA_CA_CERTS=ca.crt.

import { once } from 'node:events'
import { createServer } from 'node:http'
import * as client from 'openid-client'

const [way, issuer, redirect] = process.argv.slice(2)
const { CLIENT_ID: id, CLIENT_SECRET: secret, DPOP: bind } = process.env
const scope = 'models:read'

const config = await client.discovery(
  new URL(issuer), id, undefined,
  secret ? client.ClientSecretBasic(secret) : client.None(),
  { algorithm: 'oauth2' },
)
const key = bind ? await client.randomDPoPKeyPair('ES256') : undefined
const DPoP = key ? client.getDPoPHandle(config, key) : undefined
const say = (word, what) => console.log(word, what)

async function models(tokens) {
  const answer = await client.fetchProtectedResource(
    config, tokens.access_token, new URL('/v1/models', issuer), 'GET', null, undefined, { DPoP },
  )
  if (!answer.ok) throw new Error(`${answer.status}`)
  return answer.json()
}

async function browser() {
  const server = createServer()
  server.listen(Number(new URL(redirect).port), new URL(redirect).hostname)
  const [request, answer] = await once(server, 'request')
  answer.end('You can close this page.')
  server.close()
  server.closeAllConnections()
  return new URL(request.url, redirect)
}

async function machine() {
  return client.clientCredentialsGrant(config, { scope }, { DPoP })
}

async function person() {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect,
    scope,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  say('open', address.href)
  // The library checks `state`, and that `iss` is the server that was asked (RFC 9207).
  return client.authorizationCodeGrant(
    config, await browser(), { pkceCodeVerifier, expectedState }, undefined, { DPoP },
  )
}

async function device() {
  const begun = await client.initiateDeviceAuthorization(config, { scope })
  say('open', begun.verification_uri)
  say('code', begun.user_code)
  return client.pollDeviceAuthorizationGrant(config, begun, undefined, { DPoP })
}

let tokens = await { machine, person, device }[way]()
const seen = await models(tokens)
if (tokens.refresh_token) {
  tokens = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  await models(tokens)
}
if (secret) say('active', (await client.tokenIntrospection(config, tokens.access_token)).active)
await client.tokenRevocation(config, tokens.access_token)
say('revoked', await models(tokens).then(() => 'no', () => 'yes'))
console.log(JSON.stringify(seen))
