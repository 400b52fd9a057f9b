// A provider of OpenID Connect: node-oidc-provider. One client gets access tokens for its credentials, as JWTs.
// identity_provider.js PORT KEY_ID ALGORITHM; it makes a new key, and prints its issuer once it listens.

import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const [port, kid, algorithm] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }
const { privateKey } = generateKeyPairSync(...kinds[algorithm])
const key = { ...privateKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' }

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'anna',
      client_secret: 'secret',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: algorithm,
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'create append inspect watch download',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
  extraTokenClaims: () => ({ onward: { maxSize: 1_000_000 } }),
  jwks: { keys: [key] },
})
provider.listen(Number(port), '127.0.0.1', () => console.log(issuer))
